// The instructions of a GPU that the kernels use. A test replaces this file's content by the same functions on a CPU.
#pragma once

#if !defined(BPTT_ON_CPU)
#define DEVICE __device__ __forceinline__
#define KERNEL(threads) __global__ void __launch_bounds__(threads, 1)
#define SHARED_BYTES(name) extern __shared__ __align__(128) unsigned char name[]

namespace bptt_cuda {

typedef unsigned short half_bits;
struct alignas(16) Chunk { unsigned words[4]; };  // the most that one instruction stores

// ---- formats of 16 bits; mma: d += a b for a (16, 16) and b (16, 8), in the fragments of m16n8k16
struct Bfloat16 {
    static DEVICE half_bits to(float v) {
        half_bits r;
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r) : "f"(v));
        return r;
    }
    static DEVICE float from(half_bits h) { return __uint_as_float(unsigned(h) << 16); }
    static DEVICE unsigned pack(float low, float high) {
        unsigned r;
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
        return r;
    }
    static DEVICE void mma(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    }
};
struct Float16 {
    static DEVICE half_bits to(float v) {
        half_bits r;
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r) : "f"(v));
        return r;
    }
    static DEVICE float from(half_bits h) {
        float r;
        asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(h));
        return r;
    }
    static DEVICE unsigned pack(float low, float high) {
        unsigned r;
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
        return r;
    }
    static DEVICE void mma(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    }
};

// ---- TF32: d += a b for a (16, 8) and b (8, 8), in the fragments of m16n8k8
DEVICE unsigned to_tf32(float v) {
    unsigned r;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(v));
    return r;
}
DEVICE float as_float(unsigned bits) { return __uint_as_float(bits); }
DEVICE void mma_tf32(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

DEVICE float tanh_approx(float v) {
    float r;
    asm("tanh.approx.f32 %0, %1;" : "=f"(r) : "f"(v));
    return r;
}

// ---- barriers, and stores to the shared memory of another block of the cluster
DEVICE void warp_barrier() { __syncwarp(); }
DEVICE void block_barrier() { __syncthreads(); }
#if __CUDA_ARCH__ >= 900
DEVICE unsigned cluster_rank() {
    unsigned r;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
    return r;
}
DEVICE void cluster_barrier() {
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
// To the place in another block that `here` is in this one.
DEVICE void store_in_block(const Chunk* here, unsigned rank, Chunk value) {
    unsigned at = static_cast<unsigned>(__cvta_generic_to_shared(here)), there;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(at), "r"(rank));
    asm volatile("st.shared::cluster.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(there), "r"(value.words[0]),
                 "r"(value.words[1]), "r"(value.words[2]), "r"(value.words[3])
                 : "memory");
}
#else  // no clusters: every plan has one block, and none of these is called
DEVICE unsigned cluster_rank() { return 0; }
DEVICE void cluster_barrier() { __trap(); }
DEVICE void store_in_block(const Chunk*, unsigned, Chunk) { __trap(); }
#endif

}  // namespace bptt_cuda
#endif
