// The mathematical functions, each in its own kernel.

#define ONE(T, name, expression)                                              \
    extern "C" __global__ void name(const T* in, const T* other, T* out) {    \
        T x = in[threadIdx.x], y = other[threadIdx.x];                        \
        out[threadIdx.x] = expression;                                        \
    }

ONE(float, expf_, expf(x))
ONE(float, exp2f_, exp2f(x))
ONE(float, logf_, logf(y))
ONE(float, sinf_, sinf(x))
ONE(float, cosf_, cosf(x))
ONE(float, powf_, powf(y, x))
ONE(float, sqrtf_, sqrtf(y))
ONE(float, rsqrtf_, rsqrtf(y))
ONE(float, divf_, x / y)
ONE(float, tanhf_, tanhf(x))
#ifndef FAST
ONE(float, log2f_, log2f(y))
ONE(float, log1pf_, log1pf(y))
ONE(float, expm1f_, expm1f(x))
ONE(float, tanf_, tanf(x))
ONE(float, atan2f_, atan2f(x, y))
ONE(float, asinf_, asinf(x / 16))
ONE(float, erff_, erff(x))
ONE(float, cbrtf_, cbrtf(x))
ONE(float, hypotf_, hypotf(x, y))
ONE(float, fmodf_, fmodf(y, x))
ONE(float, roundf_, roundf(x * 4) + truncf(x) + floorf(x) + ceilf(x) + rintf(x))
ONE(float, lgammaf_, lgammaf(y))
ONE(double, exp_, exp(x))
ONE(double, log_, log(y))
ONE(double, sin_, sin(x))
ONE(double, cos_, cos(x))
ONE(double, pow_, pow(y, x))
ONE(double, sqrt_, sqrt(y))
ONE(double, div_, x / y)
ONE(double, tanh_, tanh(x))
ONE(double, erf_, erf(x))
ONE(double, cbrt_, cbrt(x))
ONE(double, atan2_, atan2(x, y))
ONE(double, rsqrt_, rsqrt(y))
// Arguments whose reduction needs many digits of pi.
ONE(float, sinf_large, sinf(x * 1e7f))
ONE(double, cos_large, cos(x * 1e11))
#endif
