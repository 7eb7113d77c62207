// What the language makes: calls, tables, local memory, constants, three dimensions.

__constant__ int primes[8] = {2, 3, 5, 7, 11, 13, 17, 19};
__constant__ double weights[3] = {0.5, 0.25, 0.125};
__device__ int offsets[4] = {100, 200, 300, 400};
__device__ unsigned total;

extern "C" __global__ void constants(const int* in, double* out) {
    int i = threadIdx.x;
    out[i] = primes[in[i] & 7] * weights[in[i] % 3] + offsets[i & 3];
}

extern "C" __global__ void device_variable(const int* in, unsigned* out) {
    atomicAdd(&total, (unsigned)in[threadIdx.x]);
    __syncthreads();
    out[threadIdx.x] = total;
}

__device__ __noinline__ int mix(int a, int b, int c) { return a * 31 + (b ^ c); }
__device__ __noinline__ float3 turn(float3 v, float s) { return make_float3(v.y * s, v.z * s, v.x * s); }

extern "C" __global__ void calls(const int* in, int* out) {
    int x = in[threadIdx.x];
    for (int i = 0; i < 3; i++) {
        x = mix(x, i, in[i]);
    }
    float3 v = turn(make_float3(1, 2, 3), (float)(x & 15));
    out[threadIdx.x] = x + (int)v.x * 2 + (int)v.y * 3 + (int)v.z;
}

__device__ __noinline__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

extern "C" __global__ void recursion(const int* in, int* out) { out[threadIdx.x] = fibonacci(in[threadIdx.x]); }

__device__ int twice(int a) { return 2 * a; }
__device__ int square(int a) { return a * a; }
__device__ int opposite(int a) { return -a; }
typedef int (*Function)(int);
__device__ Function functions[3] = {twice, square, opposite};

extern "C" __global__ void pointers(const int* in, int* out) {
    out[threadIdx.x] = functions[threadIdx.x % 3](in[threadIdx.x]);
}

struct Shape {
    __device__ virtual int area(int s) const = 0;
};
struct Square : Shape {
    __device__ int area(int s) const override { return s * s; }
};
struct Strip : Shape {
    __device__ int area(int s) const override { return 3 * s; }
};

extern "C" __global__ void virtuals(const int* in, int* out) {
    Square square;
    Strip strip;
    const Shape* shape = in[threadIdx.x] & 1 ? (const Shape*)&square : (const Shape*)&strip;
    out[threadIdx.x] = shape->area(in[threadIdx.x]);
}

// An array whose places only the run knows: local memory.
extern "C" __global__ void sorted(const int* in, int* out) {
    int cells[8];
    for (int i = 0; i < 8; i++) {
        cells[i] = in[threadIdx.x * 8 + i];
    }
    for (int i = 1; i < 8; i++) {
        int value = cells[i], j = i;
        while (j > 0 && cells[j - 1] > value) {
            cells[j] = cells[j - 1];
            j--;
        }
        cells[j] = value;
    }
    for (int i = 0; i < 8; i++) {
        out[threadIdx.x * 8 + i] = cells[i];
    }
}

extern "C" __global__ void table(const int* in, int* out) {
    int x = in[threadIdx.x], y = 0;
    switch (x % 9) {
    case 0: y = x + 1; break;
    case 1: y = x * x; break;
    case 2: y = x ^ 0x55; break;
    case 3: y = mix(x, 1, 2); break;
    case 4: y = -x;
    case 5: y += 7; break;
    case 6: y = x / 3; break;
    case 7: y = x << 3; break;
    default: y = 1000;
    }
    out[threadIdx.x] = y;
}

extern "C" __global__ void quotients(const long long* a, const long long* b, long long* out) {
    int i = threadIdx.x;
    out[4 * i] = a[i] / b[i];
    out[4 * i + 1] = a[i] % b[i];
    out[4 * i + 2] = (long long)((unsigned long long)a[i] / (unsigned long long)b[i]);
    out[4 * i + 3] = (long long)((unsigned long long)a[i] % (unsigned long long)b[i]);
}

extern "C" __global__ void integers(const unsigned* a, const unsigned* b, unsigned* out) {
    int i = threadIdx.x;
    unsigned x = a[i], y = b[i];
    unsigned* o = out + 12 * i;
    o[0] = __umulhi(x, y);
    o[1] = __mulhi((int)x, (int)y);
    o[2] = __clz(x);
    o[3] = __brev(x);
    o[4] = __ffs(x);
    o[5] = __funnelshift_l(x, y, 7);
    o[6] = __byte_perm(x, y, 0x5140);
    o[7] = __sad((int)x, (int)y, 9);
    o[8] = (int)x >> (y & 31);
    o[9] = x / (y | 1);
    o[10] = __popcll((unsigned long long)x << 32 | y);
    o[11] = (unsigned)(((unsigned __int128)x * y * x) >> 40);
}

struct Particle {
    float4 position;
    double mass;
    char kind;
    short charge;
};

extern "C" __global__ void structs(const Particle* in, Particle* out, Particle shift) {
    Particle p = in[threadIdx.x];
    p.position.x += shift.position.x;
    p.position.w *= 2;
    p.mass += shift.mass;
    p.kind = (char)(p.kind + shift.kind);
    p.charge = (short)-p.charge;
    out[threadIdx.x] = p;
}

extern "C" __global__ void dimensions(unsigned* out, int nx, int ny, int nz) {
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    int z = blockIdx.z * blockDim.z + threadIdx.z;
    if (x < nx && y < ny && z < nz) {
        out[(z * ny + y) * nx + x] = x + 100 * y + 10000 * z;
    }
}

// A variable-length loop with breaks and early returns in divergent lanes.
extern "C" __global__ void divergence(const int* in, int* out) {
    int x = in[threadIdx.x], steps = 0;
    if (x < 0) {
        out[threadIdx.x] = -1;
        return;
    }
    while (true) {
        if (x == 1) break;
        if (steps > 60) {
            steps = -steps;
            break;
        }
        x = x & 1 ? 3 * x + 1 : x / 2;
        steps++;
        if (x % 97 == 0) continue;
    }
    out[threadIdx.x] = steps;
}

extern "C" __global__ void vectors(const float4* in, float4* out, const uchar4* bytes, ushort2* shorts) {
    float4 v = in[threadIdx.x];
    out[threadIdx.x] = make_float4(v.w, v.z + 1, v.y - 1, v.x * 2);
    uchar4 b = bytes[threadIdx.x];
    shorts[threadIdx.x] = make_ushort2(b.x + b.y, b.z * b.w);
}

extern "C" __global__ void conversions(const double* in, int* i, long long* l, float* f, unsigned char* c) {
    int t = threadIdx.x;
    i[t] = __double2int_rn(in[t]);
    l[t] = (long long)in[t];
    f[t] = __double2float_rd(in[t]);
    c[t] = (unsigned char)(int)in[t];
}
