// The instruction set that the kernels use, chosen once, when it is first asked for.
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "table.h"

namespace bptt {

struct Isa {
    std::string name;
    const Table* table;
};

inline bool has(const std::string& isa) {
#if defined(BPTT_X86)
    if (isa == "avx512")
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    if (isa == "avx2") return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return isa == "portable";
}

inline const Table& table_of(const std::string& isa) {
#if defined(BPTT_X86)
    if (isa == "avx512") return table_avx512();
    if (isa == "avx2") return table_avx2();
#endif
    return table_portable();
}

// The best that this machine has, or the one that the environment variable BPTT_ISA names.
inline Isa choose_isa() {
    const char* asked = std::getenv("BPTT_ISA");
    for (const char* isa : {"avx512", "avx2", "portable"}) {
        if (asked != nullptr && *asked != '\0' && asked != std::string(isa)) continue;
        if (has(isa)) return {isa, &table_of(isa)};
        if (asked != nullptr && *asked != '\0')
            throw std::runtime_error(std::string("BPTT_ISA=") + asked + ", but this machine has no " + asked);
    }
    throw std::runtime_error(std::string("BPTT_ISA=") + asked + " is none of avx512, avx2, portable");
}

inline const Isa& isa_in_use() {
    static const Isa chosen = choose_isa();
    return chosen;
}

}  // namespace bptt
