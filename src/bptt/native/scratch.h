// What the kernels hold for themselves while they work: counted, so that who plans memory can ask.
#pragma once

#include <atomic>
#include <cstdint>

namespace bptt {

struct Scratch {
    static inline std::atomic<std::int64_t> held{0}, most{0};  // bytes

    static void take(std::int64_t bytes) {
        const std::int64_t now = held += bytes;
        std::int64_t known = most;
        while (now > known && !most.compare_exchange_weak(known, now)) {}
    }
    static void give(std::int64_t bytes) { held -= bytes; }

    // The most since it was last asked.
    static std::int64_t asked() { return most.exchange(held); }
};

}  // namespace bptt
