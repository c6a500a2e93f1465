// How many bytes the kernels have allocated for themselves, which the planning of checkpoints asks for; and large pages.
#pragma once

#include <atomic>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace bptt {

// Ask the system for large pages, for memory that is large and not yet written to: to hand out many small ones takes longer
// than to write to them.
inline void prefer_large_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::int64_t bytes) {
#if defined(__linux__)
    constexpr std::uintptr_t page = 1 << 21, most_small = 2 * page;
    if (bytes < static_cast<std::int64_t>(most_small)) return;
    const std::uintptr_t start = reinterpret_cast<std::uintptr_t>(memory), first = (start + page - 1) / page * page;
    madvise(reinterpret_cast<void*>(first), (start + bytes) / page * page - first, MADV_HUGEPAGE);  // advice: may be refused
#endif
}

struct Scratch {
    static inline std::atomic<std::int64_t> held{0}, most{0};  // bytes

    static void acquire(std::int64_t bytes) {
        const std::int64_t now = held += bytes;
        std::int64_t known = most;
        while (now > known && !most.compare_exchange_weak(known, now)) {}
    }
    static void release(std::int64_t bytes) { held -= bytes; }

    static std::int64_t peak_since_last_call() { return most.exchange(held); }
};

}  // namespace bptt
