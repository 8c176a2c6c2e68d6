// SPDX-License-Identifier: BSD-3-Clause
// t(n) = a + b*n for writing and for zeroing, and what "fast" means (docs/zeroing.md).
#include <zero/class.h>

// A zero must gain something over the write, too, not only per byte: an O(1) zero with 60 ms of
// fixed cost is not fast at 16 MiB.
#define GAIN 0.9
// Writing instead of zeroing must gain more: the model may be minutes old, and zeroing is what was
// asked for.
#define CHEAPER 0.8

double
zero_model_zero_time(const struct zero_model *m, uint64_t n, uint64_t piece)
{
    uint64_t pieces = 1;
    if (piece && n > piece)
        pieces = n / piece + (n % piece != 0);
    return m->zero.a * (double)pieces + m->zero.b * (double)n;
}

double
zero_model_write_time(const struct zero_model *m, uint64_t n)
{
    return m->write.a + m->write.b * (double)n;
}

bool
zero_model_fast(const struct zero_model *m, const struct zero_rules *r, uint64_t n)
{
    return m->ratio < r->ratio &&
           zero_model_zero_time(m, n, r->max_zero) < GAIN * zero_model_write_time(m, n);
}

bool
zero_model_write_is_cheaper(const struct zero_model *m, uint64_t n, uint64_t piece)
{
    return zero_model_write_time(m, n) < CHEAPER * zero_model_zero_time(m, n, piece);
}
