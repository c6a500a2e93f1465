// Parts of a computation on several threads: those of the process's OpenMP runtime; on Apple's systems those of the
// system, since a second OpenMP runtime beside torch's ends the process there; elsewhere threads of the call's own.
#pragma once

#include <algorithm>

#include <thread>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#elif defined(__APPLE__)
#include <cstddef>

#include <dispatch/dispatch.h>
#endif

namespace bptt {

// What runs share(given, 0) to share(given, n - 1) in a process that was forked; null in others. The threads of OpenMP and of
// Apple's systems stay behind in the process it was forked from: a call would wait for them forever.
struct AfterFork {
    using Run = void(int n, void (*share)(void* given, int thread), void* given);
    static inline Run* run = nullptr;
};

}  // namespace bptt

namespace bptt::BPTT_ISA {

// share(given, 0) to share(given, n - 1) on threads of the call's own, or on fewer where the system gives fewer.
inline void own_threads(int n, void (*share)(void* given, int thread), void* given) {
    std::vector<std::thread> others;
    int here = 1;  // shares of this thread: the first, and those for which the system gives no thread
    try {
        others.reserve(n - 1);
        for (int thread = n - 1; thread > 0; --thread) others.emplace_back(share, given, thread);
    } catch (...) {
        here = n - static_cast<int>(others.size());
    }
    for (int thread = 0; thread < here; ++thread) share(given, thread);
    for (auto& other : others) other.join();
}

// f(0) to f(parts - 1), each once, on at most so many threads, or on fewer where the system gives fewer. f throws
// nothing.
template <class F>
void side_by_side(int parts, int threads, F& f) {
    const int n = std::min(parts, threads);
    auto each = [&, n](int thread) {
        for (int p = thread; p < parts; p += n) f(p);
    };
    auto share = [](void* given, int thread) { (*static_cast<decltype(each)*>(given))(thread); };
    if (AfterFork::run != nullptr) return AfterFork::run(n, share, &each);
#if defined(_OPENMP)
#pragma omp parallel num_threads(n)
    for (int p = omp_get_thread_num(); p < parts; p += omp_get_num_threads()) f(p);
#elif defined(__APPLE__)
    dispatch_apply_f(static_cast<std::size_t>(n), DISPATCH_APPLY_AUTO, &each, [](void* given, std::size_t thread) {
        (*static_cast<decltype(each)*>(given))(static_cast<int>(thread));
    });
#else
    own_threads(n, share, &each);
#endif
}

}  // namespace bptt::BPTT_ISA
