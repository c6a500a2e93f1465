// How many bytes the kernels have allocated for themselves: the planning of checkpoints asks for it.
#pragma once

#include <atomic>
#include <cstdint>

namespace bptt {

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
