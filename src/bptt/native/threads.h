// Parts of a computation on several threads: those of the process's OpenMP runtime; on Apple's systems those of the
// system, since a second OpenMP runtime beside torch's ends the process there; elsewhere threads of the call's own.
#pragma once

#include <algorithm>

#if defined(_OPENMP)
#include <omp.h>
#elif defined(__APPLE__)
#include <cstddef>

#include <dispatch/dispatch.h>
#else
#include <thread>
#include <vector>
#endif

namespace bptt::BPTT_ISA {

// f(0) to f(parts - 1), each once, on at most so many threads, or on fewer where the system gives fewer. f throws
// nothing.
template <class F>
void side_by_side(int parts, int threads, F& f) {
    const int n = std::min(parts, threads);
#if defined(_OPENMP)
#pragma omp parallel num_threads(n)
    for (int p = omp_get_thread_num(); p < parts; p += omp_get_num_threads()) f(p);
#else
    auto share = [&, n](int thread) {
        for (int p = thread; p < parts; p += n) f(p);
    };
#if defined(__APPLE__)
    dispatch_apply_f(static_cast<std::size_t>(n), DISPATCH_APPLY_AUTO, &share, [](void* given, std::size_t thread) {
        (*static_cast<decltype(share)*>(given))(static_cast<int>(thread));
    });
#else
    std::vector<std::thread> others;
    int here = 1;  // shares of this thread: the first, and those for which the system gives no thread
    try {
        others.reserve(n - 1);
        for (int thread = n - 1; thread > 0; --thread) others.emplace_back(share, thread);
    } catch (...) {
        here = n - static_cast<int>(others.size());
    }
    for (int thread = 0; thread < here; ++thread) share(thread);
    for (auto& other : others) other.join();
#endif
#endif
}

}  // namespace bptt::BPTT_ISA
