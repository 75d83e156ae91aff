/* One pass of the transformer over new tokens, on a CPU: every layer, in float32, with weights of several kinds.
 *
 * What is special is the order of the sums. Each output is one dot product, summed in an order that depends on its
 * length alone: never on how many tokens are read together, on the other texts among them, or on the number of threads.
 * So a text is the same, bit for bit, whether it is served alone or among others, and however its prompt is cut.
 *
 * Reading one token is bound by reading the weights once, so they are stored small (bfloat16, 8-bit or 4-bit integers)
 * and widened to float32 in registers or the first cache; a weight that was widened serves all tokens of the pass.
 * Vectors are GCC's and clang's portable ones. kernels.py describes the structures again and compiles this file.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX512F__) || defined(__FMA__)
#include <immintrin.h>
#endif

#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif
#define OUTPUTS 4 /* outputs and tokens computed side by side: 3 x 4 sums, 3 inputs and a weight fill 16 registers */
#define TOKENS 3
#define TILE 48     /* tokens whose inputs stay in the second cache while all weights pass by */
#define LONGEST 16384 /* inputs of a product; the widened weights of OUTPUTS outputs are kept on the stack */
#define WORTH_SHARING 100000 /* multiplications; waking another thread takes as long as some of these */
#define GROUP 32    /* 4-bit weights that share a scale */

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef float vec_unaligned __attribute__((vector_size(LANES * 4), aligned(4)));
typedef int32_t ivec __attribute__((vector_size(LANES * 4)));
typedef uint16_t halves __attribute__((vector_size(LANES * 2)));

enum kind { FLOAT32 = 0, BFLOAT16 = 1, INT8 = 2, INT4 = 3 };
enum activation { SILU = 0, GELU = 1, GELU_TANH = 2, RELU = 3 };

/* A matrix [outputs, inputs]. Scales: one float an output (INT8), one for each GROUP of an output's inputs (INT4). */
typedef struct {
    int64_t kind, outputs, inputs;
    const void *weight;
    const float *scales, *bias;
} matrix;

typedef struct {
    const float *weight, *bias; /* no bias: RMSNorm; with one: LayerNorm */
} norm;

typedef struct {
    norm before_attention, query_norm, key_norm, before_mlp;
    matrix query, key, value, output, gate, up, down;
    float *keys, *values; /* [slots, kv_heads, capacity, head_dim] */
} layer;

typedef struct {
    int64_t layers, width, heads, kv_heads, head_dim, inner, capacity, activation, threads;
    float epsilon;
    const float *turns; /* [context, 2, head_dim / 2]: cosines and sines; NULL for learned positions */
    norm last;
    const layer *layer;
} model;

static inline vec load(const float *p) { return *(const vec_unaligned *)p; }
static inline void store(float *p, vec v) { *(vec_unaligned *)p = v; }

static inline vec choose(ivec where, vec yes, vec no) { return (vec)((where & (ivec)yes) | (~where & (ivec)no)); }

/* a * b + c, rounded once where the processor can. By name, because what a compiler would join is left to its mood, and
 * every way through this file must round alike; kernels.py forbids it to join anything by itself. */
static inline vec fused(vec a, vec b, vec c) {
#if defined(__AVX512F__)
    return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
    return _mm256_fmadd_ps(a, b, c);
#elif defined(__clang__)
    return __builtin_elementwise_fma(a, b, c);
#else
    return a * b + c;
#endif
}

/* Halves are added until one number is left. */
static inline float total(vec v) {
#ifdef __AVX512F__
    v += __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    v += __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
#else
    v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3);
    v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5);
    v += __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6);
#endif
    return v[0];
}

static inline float dot(const float *a, const float *b, int64_t n) {
    vec sum = {0};
    int64_t k = 0;
    for (; k + LANES <= n; k += LANES) sum = fused(load(a + k), load(b + k), sum);
    float rest = 0;
    for (; k < n; k++) rest += a[k] * b[k];
    return total(sum) + rest;
}

/* exp by a power of two and a polynomial of the remainder (Cephes' expf: error below 2 units in the last place). */
static inline vec exponential(vec x) {
    const vec log2e = (vec){0} + 1.44269504f, high = (vec){0} + 0.693359375f, low = (vec){0} - 2.12194440e-4f;
    const vec most = (vec){0} + 88.0f, least = (vec){0} - 87.0f, half = (vec){0} + 0.5f;
    x = choose(x > most, most, x);
    x = choose(x < least, least, x);
    vec scaled = x * log2e + half;
    ivec whole = __builtin_convertvector(scaled, ivec);
    vec power = __builtin_convertvector(whole, vec);
    ivec above = power > scaled; /* -1 where truncation rounded up */
    whole += above;
    power = __builtin_convertvector(whole, vec);
    x -= power * high;
    x -= power * low;
    vec y = (vec){0} + 1.9875691500e-4f;
    y = y * x + 1.3981999507e-3f;
    y = y * x + 8.3334519073e-3f;
    y = y * x + 4.1665795894e-2f;
    y = y * x + 1.6666665459e-1f;
    y = y * x + 5.0000001201e-1f;
    y = y * x * x + x + 1.0f;
    ivec exponent = (whole + 127) << 23;
    vec factor;
    memcpy(&factor, &exponent, sizeof factor);
    return y * factor;
}

/* --- products ---------------------------------------------------------------------------------------------------- */

static void widen(const matrix *m, int64_t row, float *out) {
    const int64_t n = m->inputs;
    if (m->kind == BFLOAT16) {
        const uint16_t *weight = (const uint16_t *)m->weight + row * n;
        for (int64_t k = 0; k < n; k++) {
            uint32_t bits = (uint32_t)weight[k] << 16;
            memcpy(out + k, &bits, 4);
        }
    } else if (m->kind == INT8) {
        const int8_t *weight = (const int8_t *)m->weight + row * n;
        for (int64_t k = 0; k < n; k++) out[k] = (float)weight[k];
    } else { /* INT4: of a group's 16 bytes, the low halves are its first 16 weights */
        const uint8_t *weight = (const uint8_t *)m->weight + row * n / 2;
        const float *scale = m->scales + row * n / GROUP;
        for (int64_t g = 0; g < n / GROUP; g++)
            for (int k = 0; k < GROUP / 2; k++) {
                const int32_t byte = weight[g * (GROUP / 2) + k];
                out[g * GROUP + k] = (float)((byte & 15) - 8) * scale[g];
                out[g * GROUP + GROUP / 2 + k] = (float)((byte >> 4) - 8) * scale[g];
            }
    }
}

/* LANES weights of a row from number k on, as float32: exactly what widen gives. */
static inline __attribute__((always_inline)) vec weights(const matrix *m, int kind, int64_t row, int64_t k) {
    const int64_t n = m->inputs;
    if (kind == FLOAT32) return load((const float *)m->weight + row * n + k);
    if (kind == BFLOAT16) {
        halves stored;
        memcpy(&stored, (const uint16_t *)m->weight + row * n + k, sizeof stored);
        return (vec)(__builtin_convertvector(stored, ivec) << 16);
    }
    const int64_t place = k % GROUP;
    const int8_t *stored = (const int8_t *)m->weight + (kind == INT8 ? row * n + k : (row * n + k - place) / 2 + place % (GROUP / 2));
    int32_t wide[LANES];
    for (int i = 0; i < LANES; i++) wide[i] = stored[i]; /* a loop, as compilers widen it better than a vector of bytes */
    ivec whole;
    memcpy(&whole, wide, sizeof whole);
    if (kind == INT8) return __builtin_convertvector(whole, vec);
    const ivec half = place < GROUP / 2 ? whole & 15 : (whole >> 4) & 15;
    return __builtin_convertvector(half - 8, vec) * m->scales[(row * n + k) / GROUP];
}

/* Dot products of `tokens` rows of x with rows of the matrix: from `widened` copies of those, or, where that is NULL,
 * from the matrix itself. `tokens` and `kind` are constants where this is inlined; the order of the sums is the same. */
static inline __attribute__((always_inline)) void block(
    const matrix *m, int kind, int64_t first, const float *const *widened, const float *x, int64_t x_stride, int tokens,
    float sums[TOKENS][OUTPUTS]) {
    const int64_t n = m->inputs;
    vec sum[TOKENS][OUTPUTS] = {{{0}}};
    int64_t k = 0;
    for (; k + LANES <= n; k += LANES) {
        vec input[TOKENS];
        for (int t = 0; t < tokens; t++) input[t] = load(x + t * x_stride + k);
        for (int o = 0; o < OUTPUTS; o++) {
            const vec weight = widened ? load(widened[o] + k) : weights(m, kind, first + o, k);
            for (int t = 0; t < tokens; t++) sum[t][o] = fused(input[t], weight, sum[t][o]);
        }
    }
    for (int t = 0; t < tokens; t++)
        for (int o = 0; o < OUTPUTS; o++) sums[t][o] = total(sum[t][o]);
    if (k == n) return;
    for (int t = 0; t < tokens; t++)
        for (int o = 0; o < OUTPUTS; o++) {
            float rest = 0;
            for (int64_t i = k; i < n; i++) rest += x[t * x_stride + i] * widened[o][i];
            sums[t][o] += rest;
        }
}

/* One token, and inputs that are whole vectors: the weights go straight from memory to the sums. */
static void block_of_one(const matrix *m, int64_t first, const float *x, float sums[TOKENS][OUTPUTS]) {
    if (m->kind == FLOAT32) block(m, FLOAT32, first, NULL, x, 0, 1, sums);
    else if (m->kind == BFLOAT16) block(m, BFLOAT16, first, NULL, x, 0, 1, sums);
    else if (m->kind == INT8) block(m, INT8, first, NULL, x, 0, 1, sums);
    else block(m, INT4, first, NULL, x, 0, 1, sums);
}

static void finish(const matrix *m, int64_t first, int64_t count, const float *sums, float *y, int added) {
    for (int64_t o = 0; o < count; o++) {
        float value = sums[o];
        if (m->kind == INT8) value *= m->scales[first + o];
        if (m->bias) value += m->bias[first + o];
        y[o] = added ? y[o] + value : value;
    }
}

/* `count` outputs, at most OUTPUTS, of all tokens. */
static void outputs_of(const matrix *m, int64_t first, int64_t count, const float *x, int64_t x_stride, int64_t tokens,
                       float *y, int64_t y_stride, int added) {
    float sums[TOKENS][OUTPUTS], copies[OUTPUTS][LONGEST] __attribute__((aligned(64)));
    if (tokens == 1 && count == OUTPUTS && m->inputs % LANES == 0) {
        block_of_one(m, first, x, sums);
        finish(m, first, count, sums[0], y, added);
        return;
    }
    const float *w[OUTPUTS];
    for (int o = 0; o < OUTPUTS; o++) {
        const int64_t source = o < count ? o : 0; /* where there are fewer, the first one's again */
        if (m->kind != FLOAT32 && source == o) widen(m, first + o, copies[o]);
        w[o] = m->kind == FLOAT32 ? (const float *)m->weight + (first + source) * m->inputs : copies[source];
    }
    for (int64_t t = 0; t < tokens; t += TOKENS) {
        const int64_t here = tokens - t < TOKENS ? tokens - t : TOKENS;
        const float *input = x + t * x_stride;
        if (here == 3) block(m, FLOAT32, first, w, input, x_stride, 3, sums);
        else if (here == 2) block(m, FLOAT32, first, w, input, x_stride, 2, sums);
        else block(m, FLOAT32, first, w, input, x_stride, 1, sums);
        for (int i = 0; i < here; i++) finish(m, first, count, sums[i], y + (t + i) * y_stride, added);
    }
}

/* y [tokens, outputs] = x [tokens, inputs] times the matrix, or that added to y. */
static void product(const matrix *m, const float *x, int64_t x_stride, int64_t tokens, float *y, int64_t y_stride,
                    int added, int threads) {
    const int64_t blocks = (m->outputs + OUTPUTS - 1) / OUTPUTS;
    for (int64_t t = 0; t < tokens; t += TILE) {
        const int64_t here = tokens - t < TILE ? tokens - t : TILE;
#pragma omp parallel for schedule(static) num_threads(threads) if (here * m->outputs * m->inputs > WORTH_SHARING)
        for (int64_t b = 0; b < blocks; b++) {
            const int64_t first = b * OUTPUTS, left = m->outputs - first;
            outputs_of(m, first, left < OUTPUTS ? left : OUTPUTS, x + t * x_stride, x_stride, here,
                       y + t * y_stride + first, y_stride, added);
        }
    }
}

void lumi_product(const matrix *m, const float *x, int64_t tokens, float *y, int64_t threads) {
    product(m, x, m->inputs, tokens, y, m->outputs, 0, (int)threads);
}

/* --- the rest of a layer ----------------------------------------------------------------------------------------- */

static void normalise(norm by, float epsilon, const float *x, int64_t n, float *y) {
    float mean = 0;
    if (by.bias) {
        for (int64_t i = 0; i < n; i++) mean += x[i];
        mean /= (float)n;
    }
    for (int64_t i = 0; i < n; i++) y[i] = x[i] - mean;
    const float scale = 1.0f / sqrtf(dot(y, y, n) / (float)n + epsilon);
    for (int64_t i = 0; i < n; i++) y[i] = y[i] * scale * by.weight[i] + (by.bias ? by.bias[i] : 0.0f);
}

/* Rotates the first half of a head against the second. */
static void rotate(float *head, const float *turns, int64_t n) {
    const float *cosine = turns, *sine = turns + n / 2;
    for (int64_t i = 0; i < n / 2; i++) {
        const float first = head[i], second = head[i + n / 2];
        head[i] = first * cosine[i] - second * sine[i];
        head[i + n / 2] = second * cosine[i] + first * sine[i];
    }
}

static void prepare_head(const model *m, norm by, int64_t position, float *head) {
    if (by.weight) {
        float copy[1024];
        memcpy(copy, head, (size_t)m->head_dim * 4);
        normalise(by, m->epsilon, copy, m->head_dim, head);
    }
    if (m->turns) rotate(head, m->turns + position * m->head_dim, m->head_dim);
}

/* One query against the keys and values of positions 0 to count - 1. */
static void attend(const float *query, const float *keys, const float *values, int64_t count, int64_t n, float *out) {
    const int64_t padded = (count + LANES - 1) / LANES * LANES;
    const float factor = 1.0f / sqrtf((float)n);
    float scores[padded], most = -INFINITY;
    for (int64_t j = 0; j < count; j++) {
        scores[j] = dot(query, keys + j * n, n) * factor;
        most = scores[j] > most ? scores[j] : most;
    }
    for (int64_t j = 0; j < padded; j += LANES) {
        if (j + LANES > count) /* what is behind the end weighs nothing */
            for (int64_t i = count; i < padded; i++) scores[i] = most;
        store(scores + j, exponential(load(scores + j) - most));
    }
    for (int64_t j = count; j < padded; j++) scores[j] = 0;
    vec sum = {0};
    for (int64_t j = 0; j < padded; j += LANES) sum += load(scores + j);
    const float share = 1.0f / total(sum);
    memset(out, 0, (size_t)n * 4);
    for (int64_t j = 0; j < count; j++) {
        const float weight = scores[j] * share, *value = values + j * n;
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES) store(out + i, fused((vec){0} + weight, load(value + i), load(out + i)));
        for (; i < n; i++) out[i] += weight * value[i];
    }
}

static void activate(int64_t activation, float *x, int64_t n) {
    int64_t i = 0;
    if (activation == SILU)
        for (; i + LANES <= n; i += LANES) {
            const vec value = load(x + i);
            store(x + i, value / (1.0f + exponential(-value)));
        }
    for (; i < n; i++) {
        const float v = x[i];
        if (activation == SILU) x[i] = v / (1.0f + expf(-v));
        else if (activation == GELU) x[i] = 0.5f * v * (1.0f + erff(v * 0.70710678f));
        else if (activation == GELU_TANH) x[i] = 0.5f * v * (1.0f + tanhf(0.79788456f * (v + 0.044715f * v * v * v)));
        else x[i] = v > 0 ? v : 0;
    }
}

static void attention(const model *m, const layer *here, int64_t tokens, const int64_t *slots,
                      const int64_t *positions, float *qkv, float *mixed) {
    const int64_t d = m->head_dim, kv = m->kv_heads, group = m->heads / kv, joined = (m->heads + 2 * kv) * d;
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t h = 0; h < kv; h++) {
            float *key = qkv + t * joined + (m->heads + h) * d;
            const int64_t place = ((slots[t] * kv + h) * m->capacity + positions[t]) * d;
            prepare_head(m, here->key_norm, positions[t], key);
            memcpy(here->keys + place, key, (size_t)d * 4);
            memcpy(here->values + place, key + kv * d, (size_t)d * 4);
        }
    const int64_t work = tokens * m->heads * d * 2 * (positions[tokens - 1] + 1); /* about */
#pragma omp parallel for schedule(static, 1) num_threads((int)m->threads) if (work > WORTH_SHARING)
    for (int64_t task = 0; task < tokens * kv; task++) {
        const int64_t t = task / kv, h = task % kv, place = (slots[t] * kv + h) * m->capacity * d;
        for (int64_t q = h * group; q < (h + 1) * group; q++) {
            float *query = qkv + t * joined + q * d;
            prepare_head(m, here->query_norm, positions[t], query);
            attend(query, here->keys + place, here->values + place, positions[t] + 1, d,
                   mixed + (t * m->heads + q) * d);
        }
    }
}

static void feed_forward(const model *m, const layer *here, int64_t tokens, const float *y, float *up, float *gate,
                         float *x) {
    const int64_t n = tokens * m->inner;
    const int threads = (int)m->threads;
    product(&here->up, y, m->width, tokens, up, m->inner, 0, threads);
    if (here->gate.weight) {
        product(&here->gate, y, m->width, tokens, gate, m->inner, 0, threads);
        activate(m->activation, gate, n);
        for (int64_t i = 0; i < n; i++) up[i] *= gate[i];
    } else {
        activate(m->activation, up, n);
    }
    product(&here->down, up, m->inner, tokens, x, m->width, 1, threads);
}

/* Floats of scratch that lumi_forward needs for each token. */
int64_t lumi_scratch(const model *m) {
    return m->width + 2 * (m->heads + m->kv_heads) * m->head_dim + 2 * m->inner;
}

/* All layers, and the last norm.
 *
 * x [tokens, width]: the embeddings in, the features out. slots, positions [tokens]: where each token's keys and values
 * go. A token sees what its slot holds up to its own position, so the tokens of a text come in their order.
 */
void lumi_forward(const model *m, int64_t tokens, const int64_t *slots, const int64_t *positions, float *x, float *work) {
    const int64_t width = m->width, queries = m->heads * m->head_dim, keys = m->kv_heads * m->head_dim;
    const int64_t joined = queries + 2 * keys;
    const int threads = (int)m->threads;
    float *y = work, *qkv = y + tokens * width, *mixed = qkv + tokens * joined;
    float *up = mixed + tokens * queries, *gate = up + tokens * m->inner;
    for (int64_t l = 0; l < m->layers; l++) {
        const layer *here = m->layer + l;
        for (int64_t t = 0; t < tokens; t++)
            normalise(here->before_attention, m->epsilon, x + t * width, width, y + t * width);
        product(&here->query, y, width, tokens, qkv, joined, 0, threads);
        product(&here->key, y, width, tokens, qkv + queries, joined, 0, threads);
        product(&here->value, y, width, tokens, qkv + queries + keys, joined, 0, threads);
        attention(m, here, tokens, slots, positions, qkv, mixed);
        product(&here->output, mixed, queries, tokens, x, width, 1, threads);
        for (int64_t t = 0; t < tokens; t++)
            normalise(here->before_mlp, m->epsilon, x + t * width, width, y + t * width);
        feed_forward(m, here, tokens, y, up, gate, x);
    }
    for (int64_t t = 0; t < tokens; t++) normalise(m->last, m->epsilon, x + t * width, width, x + t * width);
}
