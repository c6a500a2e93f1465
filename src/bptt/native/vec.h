// Vectors as wide as the instruction set's registers, and the cells' elementary functions on them.
// GCC's and clang's vector extensions: one source for AVX-512, AVX2 and plain C++.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define BPTT_BYTES 64
#define BPTT_REGISTERS 32
#elif defined(__AVX2__)
#define BPTT_BYTES 32
#define BPTT_REGISTERS 16
#else
#define BPTT_BYTES 16
#define BPTT_REGISTERS 16
#endif

namespace bptt::BPTT_ISA {

template <class S>
struct Lanes {
    using Int = std::conditional_t<sizeof(S) == 4, std::int32_t, std::int64_t>;
    typedef S V __attribute__((vector_size(BPTT_BYTES)));
    typedef Int I __attribute__((vector_size(BPTT_BYTES)));
    typedef S U __attribute__((vector_size(BPTT_BYTES), aligned(sizeof(S)), may_alias));
    static constexpr int n = BPTT_BYTES / sizeof(S);
};
template <class S>
using V = typename Lanes<S>::V;
template <class S>
constexpr int L = Lanes<S>::n;

template <class S>
inline V<S> load(const S* p) { return *reinterpret_cast<const typename Lanes<S>::U*>(p); }

template <class S>
inline void store(S* p, V<S> v) { *reinterpret_cast<typename Lanes<S>::U*>(p) = v; }

template <class S>
inline V<S> broadcast(S value) {
    V<S> v;
    for (int i = 0; i < L<S>; ++i) v[i] = value;
    return v;
}

#if defined(__AVX2__) && !defined(__AVX512F__)
template <class S>
inline __m256i first_lanes(std::int64_t n) {
    typename Lanes<S>::I lane;
    for (int i = 0; i < L<S>; ++i) lane[i] = i;
    return reinterpret_cast<__m256i>(lane < static_cast<typename Lanes<S>::Int>(n));
}
#endif

// A value that is computed or read once and then stays in a register.
template <class S>
inline V<S> in_register(V<S> value) {
#if defined(__AVX512F__)
    asm("" : "+v"(value));
#elif defined(__x86_64__)
    asm("" : "+x"(value));
#elif defined(__aarch64__)
    asm("" : "+w"(value));
#endif
    return value;
}

// A product that is rounded before it is added to another. In a·b + c·d a compiler fuses one of the two, which may differ
// from tile to tile.
template <class S>
inline V<S> rounded(V<S> product) {
#if defined(__x86_64__) || defined(__aarch64__)
    return in_register<S>(product);
#else
    asm("" : "+m"(product));
    return product;
#endif
}

// The first n >= 1 lanes; the others are 0 (load) or left alone (store).
template <class S>
inline V<S> load(const S* p, std::int64_t n) {
    if (n >= L<S>) return load(p);
#if defined(__AVX512F__)
    if constexpr (sizeof(S) == 4) return _mm512_maskz_loadu_ps((1u << n) - 1, p);
    if constexpr (sizeof(S) == 8) return _mm512_maskz_loadu_pd((1u << n) - 1, p);
#elif defined(__AVX2__)
    if constexpr (sizeof(S) == 4) return _mm256_maskload_ps(p, first_lanes<S>(n));
    if constexpr (sizeof(S) == 8) return _mm256_maskload_pd(p, first_lanes<S>(n));
#else
    V<S> v{};
    std::memcpy(&v, p, n * sizeof(S));
    return v;
#endif
}
template <class S>
inline void store(S* p, V<S> v, std::int64_t n) {
    if (n >= L<S>) return store(p, v);
#if defined(__AVX512F__)
    if constexpr (sizeof(S) == 4) _mm512_mask_storeu_ps(p, (1u << n) - 1, v);
    if constexpr (sizeof(S) == 8) _mm512_mask_storeu_pd(p, (1u << n) - 1, v);
#elif defined(__AVX2__)
    if constexpr (sizeof(S) == 4) _mm256_maskstore_ps(p, first_lanes<S>(n), v);
    if constexpr (sizeof(S) == 8) _mm256_maskstore_pd(p, first_lanes<S>(n), v);
#else
    std::memcpy(p, &v, n * sizeof(S));
#endif
}

// Where elements stand `stride` apart: 1, or 0 for one value throughout.
template <class S>
inline V<S> load(const S* p, std::int64_t n, std::int64_t stride) {
    if (stride == 1) return load(p, n);
    if (n >= L<S>) return broadcast<S>(*p);
    typename Lanes<S>::I lane;
    for (int i = 0; i < L<S>; ++i) lane[i] = i;
    return lane < static_cast<typename Lanes<S>::Int>(n) ? broadcast<S>(*p) : broadcast<S>(0);
}

// Lane i is lane from[i] of a, or from[i] - L of b.
template <class S>
inline V<S> shuffled(V<S> a, V<S> b, typename Lanes<S>::I from) {
#if defined(__clang__)
    V<S> to;
    for (int i = 0; i < L<S>; ++i) to[i] = from[i] < L<S> ? a[from[i]] : b[from[i] - L<S>];
    return to;
#else
    return __builtin_shuffle(a, b, from);
#endif
}

// v (L×L) transposed. Each round swaps the blocks of `half` lanes beside the diagonal.
template <class S, int half = L<S> / 2>
inline void transpose(V<S> (&v)[L<S>]) {
    if constexpr (half > 0) {
        typename Lanes<S>::I first, second;
        for (int i = 0; i < L<S>; ++i) first[i] = i & half ? (i ^ half) + L<S> : i, second[i] = i & half ? i + L<S> : i ^ half;
        for (int i = 0; i < L<S>; ++i)
            if (!(i & half)) {
                const V<S> a = v[i], b = v[i | half];
                v[i] = shuffled<S>(a, b, first), v[i | half] = shuffled<S>(a, b, second);
            }
        transpose<S, half / 2>(v);
    }
}

// From L vectors one: its lane i is the sum of v[i]'s lanes. Each round halves the number of vectors.
template <class S, int half = L<S> / 2>
inline V<S> lane_sums(V<S>* v) {
    if constexpr (half == 0) {
        return v[0];
    } else {
        typename Lanes<S>::I first, second;
        for (int i = 0; i < L<S>; ++i) first[i] = i & half ? i + L<S> : i, second[i] = i & half ? (i ^ half) + L<S> : i ^ half;
        for (int i = 0; i < half; ++i) {
            V<S> a = v[i], b = v[i + half];
            // lanes without the bit sum a's, lanes with it b's
            v[i] = shuffled<S>(a, b, first) + shuffled<S>(a, b, second);
        }
        return lane_sums<S, half / 2>(v);
    }
}

template <class S>
struct Exp;  // constants of e^x: ln 2 in two parts, 1.5·2^mantissa + the exponent's bias, and where e^x leaves the range
template <>
struct Exp<float> {
    static constexpr float log2e = 1.44269504f, hi = 0.693359375f, lo = -2.12194440e-4f, magic = 12582912.f + 127;
    static constexpr int mantissa = 23;
    static constexpr float least = -87.3f, infinite = 89;

    // (e^r - 1 - r) / r² for |r| <= ln 2 / 2: minimax, e^r - 1 to 1.4e-8 of r.
    static V<float> rest(V<float> r) {
        V<float> r2 = r * r, low = r * 0.166665431f + 0.500000006f, high = r * 8.36656989e-3f + 4.16662825e-2f;
        return (r2 * 1.39464242e-3f + high) * r2 + low;
    }
};
template <>
struct Exp<double> {
    static constexpr double log2e = 1.4426950408889634, hi = 6.93147180369123816490e-01,
                            lo = 1.90821492927058770002e-10, magic = 6755399441055744.0 + 1023;
    static constexpr int mantissa = 52;
    static constexpr double least = -708.0, infinite = 710;

    static V<double> rest(V<double> r) {  // Taylor
        constexpr int terms = 12;
        double factor[terms], factorial = 2;
        for (int i = 0; i < terms; factorial *= i++ + 3) factor[i] = 1 / factorial;
        V<double> q = broadcast<double>(factor[terms - 1]);
        for (int i = terms - 2; i >= 0; --i) q = q * r + factor[i];
        return q;
    }
};

// y, or the bound where y lies beyond it; NaN stays.
template <class S>
inline V<S> at_least(V<S> y, S bound) {
#if defined(__AVX512F__)  // one instruction, which a comparison does not become
    if constexpr (sizeof(S) == 4) return _mm512_maskz_max_ps(0xffff, broadcast(bound), y);
    if constexpr (sizeof(S) == 8) return _mm512_maskz_max_pd(0xff, broadcast(bound), y);
#endif
    return y < bound ? broadcast<S>(bound) : y;
}
template <class S>
inline V<S> at_most(V<S> y, S bound) {
#if defined(__AVX512F__)
    if constexpr (sizeof(S) == 4) return _mm512_maskz_min_ps(0xffff, broadcast(bound), y);
    if constexpr (sizeof(S) == 8) return _mm512_maskz_min_pd(0xff, broadcast(bound), y);
#endif
    return y > bound ? broadcast<S>(bound) : y;
}

// e^y = 2^n·(1 + part), with y = n ln 2 + r, for least <= y <= infinite, where 2^n is infinite.
template <class S>
struct Exponential {
    V<S> scale, r, rest;  // 2^n; part = r + rest
    explicit Exponential(V<S> y) {
        using E = Exp<S>;
        using I = typename Lanes<S>::I;
        V<S> shifted = y * E::log2e + E::magic;
        V<S> n = shifted - E::magic;
        r = y - n * E::hi - n * E::lo;
        rest = r * r * E::rest(r);
        I bits = reinterpret_cast<I>(shifted) << E::mantissa;  // n and the bias stand in shifted's low bits
        scale = reinterpret_cast<V<S>>(bits);
    }
    V<S> value() const { return scale * ((S(1) + r) + rest); }
    V<S> minus_one() const { return scale * (r + rest) + (scale - S(1)); }
};

template <class S>
inline V<S> expm1_of_negative(V<S> y) { return Exponential<S>(at_least<S>(y, Exp<S>::least)).minus_one(); }

template <class S>
inline typename Lanes<S>::I sign_bits(V<S> x) {
    using I = typename Lanes<S>::I;
    using Int = typename Lanes<S>::Int;
    return reinterpret_cast<I>(x) & std::numeric_limits<Int>::min();
}
template <class S>
inline V<S> magnitude(V<S> x) { return reinterpret_cast<V<S>>(reinterpret_cast<typename Lanes<S>::I>(x) ^ sign_bits<S>(x)); }

template <class S>
inline V<S> tanh(V<S> x) {  // -expm1(-2|x|) / (2 + expm1(-2|x|)) with x's sign
    V<S> e = expm1_of_negative<S>(S(-2) * magnitude<S>(x));
    V<S> t = -e / (S(2) + e);
    return reinterpret_cast<V<S>>(reinterpret_cast<typename Lanes<S>::I>(t) | sign_bits<S>(x));
}

template <class S>
inline V<S> exp_of_negative(V<S> y) {
    V<S> e = Exponential<S>(at_least<S>(y, Exp<S>::least)).value();
    return y < Exp<S>::least ? broadcast<S>(0) : e;
}

template <class S>
inline V<S> sigmoid(V<S> x) {  // 1 / (1 + e^-x)
    V<S> y = at_most<S>(at_least<S>(-x, Exp<S>::least), Exp<S>::infinite);
    return S(1) / (S(1) + Exponential<S>(y).value());
}

// log(1 + e^x) = max(x, 0) + log1p(e^-|x|), with log1p(z) = 2 artanh(z / (2 + z)).
template <class S>
inline V<S> softplus(V<S> x) {
    V<S> z = exp_of_negative<S>(-magnitude<S>(x));
    V<S> s = z / (S(2) + z), s2 = s * s, q = broadcast<S>(0);
    for (int k = sizeof(S) == 4 ? 8 : 17; k >= 0; --k) q = q * s2 + S(1) / (2 * k + 1);
    return (x < 0 ? broadcast<S>(0) : x) + S(2) * s * q;
}

template <class S>
inline V<S> gelu(V<S> a) {
    V<S> s;
    for (int i = 0; i < L<S>; ++i) s[i] = S(0.5) * a[i] * std::erfc(-a[i] * S(0.70710678118654752440));
    return s;
}
template <class S>
inline V<S> gelu_derivative(V<S> a) {
    V<S> d;
    for (int i = 0; i < L<S>; ++i)
        d[i] = S(0.5) * std::erfc(-a[i] * S(0.70710678118654752440)) +
               a[i] * S(0.39894228040143267794) * std::exp(S(-0.5) * a[i] * a[i]);
    return d;
}

}  // namespace bptt::BPTT_ISA
