// A GPU on one CPU thread, for the source of src/bptt/cuda. Every GPU thread is a fiber; barriers hand over. Which
// fiber goes on is drawn from a seed: one warp runs as far ahead as barriers allow, so a missing barrier gives wrong
// numbers. Shared memory starts as NaNs. It cannot show the order in which a GPU's memory sees stores.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

namespace standin {
struct Index { unsigned x; };
struct Barrier { unsigned expected = 0, arrived = 0, generation = 0; };
struct Block {
    std::vector<unsigned char> memory;
    unsigned bytes;
    Barrier all;
    std::vector<Barrier> warps;
    std::vector<unsigned> exchanged;
    unsigned char* shared() { return reinterpret_cast<unsigned char*>((reinterpret_cast<size_t>(memory.data()) + 127) & ~size_t(127)); }
};
struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack;
    Index thread, block;
    unsigned rank = 0, exchanges = 0, until = 0;
    const Barrier* waits = nullptr;
    bool done = false;
};
constexpr unsigned STACK = 256 * 1024, GUARD = 256, PER_WARP = 32 * 8;
struct Grid {
    std::vector<Fiber> fibers;
    std::vector<Block> blocks;
    Barrier cluster;
    Fiber* now = nullptr;
    ucontext_t home;
    std::function<void()> kernel;
};
inline Grid* grid = nullptr;
inline Fiber& me() { return *grid->now; }
inline Block& my_block() { return grid->blocks[me().rank]; }
inline void meet(Barrier& b) {
    Fiber& f = me();
    f.waits = &b, f.until = b.generation + 1;
    if (++b.arrived == b.expected) b.arrived = 0, ++b.generation;
    swapcontext(&f.context, &grid->home);
}
// Every lane of a warp gives 6 words, and reads those of all lanes, 8 words apart.
inline const unsigned* exchange(const unsigned (&mine)[6]) {
    Fiber& f = me();
    const unsigned warp = f.thread.x / 32;
    unsigned* all = my_block().exchanged.data() + (warp * 2 + (f.exchanges++ & 1)) * PER_WARP;
    std::memcpy(all + f.thread.x % 32 * 8, mine, sizeof mine);
    meet(my_block().warps[warp]);
    return all;
}
inline void entry() {
    grid->kernel();
    me().done = true;
    swapcontext(&me().context, &grid->home);
}
inline void start(Grid& g, unsigned first_block, unsigned cluster, unsigned threads, unsigned shared) {
    g.blocks.assign(cluster, {});
    g.cluster = {cluster * threads};
    g.fibers.clear();
    g.fibers.resize(cluster * threads);
    for (unsigned rank = 0; rank < cluster; ++rank) {
        Block& b = g.blocks[rank];
        b.bytes = shared, b.all.expected = threads;
        b.memory.assign(shared + 128 + GUARD, 0xFF);
        b.warps.assign(threads / 32, Barrier{32});
        b.exchanged.assign(threads / 32 * 2 * PER_WARP, 0);
        for (unsigned t = 0; t < threads; ++t) {
            Fiber& f = g.fibers[rank * threads + t];
            f.stack.reset(new char[STACK]);
            f.thread = {t}, f.block = {first_block + rank}, f.rank = rank;
            getcontext(&f.context);
            f.context.uc_stack.ss_sp = f.stack.get(), f.context.uc_stack.ss_size = STACK;
            makecontext(&f.context, entry, 0);
        }
    }
}
inline void run(Grid& g, unsigned seed, std::mt19937& draw) {
    std::vector<unsigned> turn(g.fibers.size() / 32);
    for (unsigned i = 0; i < turn.size(); ++i) turn[i] = i;
    if (seed) std::shuffle(turn.begin(), turn.end(), draw);
    for (size_t left = g.fibers.size(); left;) {
        bool moved = false;
        for (unsigned warp : turn) {
            const unsigned shift = seed ? draw() % 32 : 0;
            for (unsigned k = 0; k < 32; ++k) {
                Fiber& f = g.fibers[warp * 32 + (k + shift) % 32];
                if (f.done || (f.waits && int(f.waits->generation - f.until) < 0)) continue;
                f.waits = nullptr, g.now = &f, moved = true;
                swapcontext(&g.home, &f.context);
                left -= f.done;
            }
            if (moved && seed) {  // the first warp that can go on does; now and then another is first
                if (draw() % 256 == 0) std::swap(turn[draw() % turn.size()], turn[draw() % turn.size()]);
                break;
            }
        }
        if (!moved) throw std::runtime_error("threads wait at a barrier that not all of them reach");
    }
    for (Block& b : g.blocks)
        if (!std::all_of(b.shared() + b.bytes, b.shared() + b.bytes + GUARD - 128, [](unsigned char c) { return c == 0xFF; }))
            throw std::runtime_error("a store past the end of shared memory");
}
// seed 0 takes all warps in turn; clusters run one after the other, in drawn order.
inline void launch(unsigned blocks, unsigned threads, unsigned shared, unsigned cluster, unsigned seed, std::function<void()> kernel) {
    Grid g;
    grid = &g;
    g.kernel = std::move(kernel);
    std::mt19937 draw(seed);
    std::vector<unsigned> order(blocks / cluster);
    for (unsigned i = 0; i < order.size(); ++i) order[i] = i;
    if (seed) std::shuffle(order.begin(), order.end(), draw);
    for (unsigned which : order) {
        start(g, which * cluster, cluster, threads, shared);
        run(g, seed, draw);
    }
}
}  // namespace standin

#define BPTT_ON_CPU
#define DEVICE inline
#define KERNEL(threads) void
#define SHARED_BYTES(name) unsigned char* name = standin::my_block().shared()
#define threadIdx (standin::me().thread)
#define blockIdx (standin::me().block)

namespace bptt_cuda {
typedef unsigned short half_bits;
struct alignas(16) Chunk { unsigned words[4]; };

inline float as_float(unsigned u) { float f; std::memcpy(&f, &u, 4); return f; }
inline unsigned as_bits(float f) { unsigned u; std::memcpy(&u, &f, 4); return u; }

// D += A B, each lane's numbers where the PTX manual has them; `at` reads number k of a register's words.
template <int K, class At>
void mma(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, At at) {
    const unsigned mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
    const unsigned lane = threadIdx.x % 32, g = lane / 4, q = lane % 4, *all = standin::exchange(mine);
    constexpr unsigned half = K / 2, by = K / 8;  // numbers of a register pair; numbers of a register
    for (int e = 0; e < 4; ++e) {
        const unsigned m = g + 8 * (e / 2), n = 2 * q + e % 2;
        double sum = d[e];
        for (unsigned k = 0; k < K; ++k) {
            const unsigned of = k % half / by, A = all[(m % 8 * 4 + of) * 8 + (m >= 8) + 2 * (k >= half)];
            sum += double(at(A, k)) * at(all[(n * 4 + of) * 8 + 4 + (k >= half)], k);
        }
        d[e] = float(sum);
    }
}

template <class Format> struct Words {
    static unsigned pack(float low, float high) { return Format::to(low) | unsigned(Format::to(high)) << 16; }
    static void mma(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
        bptt_cuda::mma<16>(d, a, b0, b1, [](unsigned w, unsigned k) { return Format::from(k % 2 ? w >> 16 : w & 0xffff); });
    }
};
struct Bfloat16 : Words<Bfloat16> {
    static half_bits to(float v) {  // to nearest, ties to even, as cvt.rn
        const unsigned u = as_bits(v);
        return (u & 0x7fffffff) > 0x7f800000 ? 0x7fff : (u + 0x7fff + ((u >> 16) & 1)) >> 16;
    }
    static float from(half_bits h) { return as_float(unsigned(h) << 16); }
};
struct Float16 : Words<Float16> {
    static half_bits to(float v) {
        const _Float16 rounded = static_cast<_Float16>(v);
        half_bits h;
        std::memcpy(&h, &rounded, 2);
        return h;
    }
    static float from(half_bits h) {
        _Float16 v;
        std::memcpy(&v, &h, 2);
        return static_cast<float>(v);
    }
};
inline unsigned to_tf32(float v) {  // to nearest, ties away from zero, as cvt.rna
    const unsigned u = as_bits(v);
    return (u & 0x7f800000) == 0x7f800000 ? u : (u + 0x1000) & ~0x1fffu;
}
inline void mma_tf32(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    mma<8>(d, a, b0, b1, [](unsigned w, unsigned) { return as_float(w & ~0x1fffu); });
}
inline float tanh_approx(float v) { return std::tanh(v); }
inline void block_barrier() { standin::meet(standin::my_block().all); }
inline unsigned cluster_rank() { return standin::me().rank; }
inline void cluster_barrier() { standin::meet(standin::grid->cluster); }
inline void warp_barrier() { standin::meet(standin::my_block().warps[threadIdx.x / 32]); }
inline void store_in_block(const Chunk* here, unsigned rank, const Chunk& value) {
    const auto at = reinterpret_cast<const unsigned char*>(here) - standin::my_block().shared();
    std::memcpy(standin::grid->blocks[rank].shared() + at, &value, sizeof value);
}
}  // namespace bptt_cuda
