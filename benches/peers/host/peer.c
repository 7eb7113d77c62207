// Operations on host buffers through the C interface of MPI: what `warpcomm bench` is held against.
//
//     peer THREAD_LEVEL WARM_UP SECONDS SAMPLES CHECK SIZES OPERATION:DTYPE...
//
// run.py starts it, and peer.py measures the same in the same way. Rank 0 prints lines of JSON: where it runs, then for each
// operation and size the seconds of one operation on the slowest rank, in each sample. An error of MPI ends the job, as MPI
// does by default.

#define _POSIX_C_SOURCE 200809L

#include <limits.h>
#include <math.h>
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// The most messages that are under way at once in one direction, and the most bytes that they have together.
#define WINDOW 64
#define WINDOW_BYTES ((size_t)64 << 20)

// Where buffers begin: at a page, because others than that make times differ by chance.
#define PAGE 4096

// A sample lasts about so many seconds at least, because clocks and barriers have their errors.
#define SAMPLE_SECONDS 1e-3

// How often it is estimated how many repeats make a sample.
#define ESTIMATES 3

// The median of fewer would say nothing.
#define LEAST_SAMPLES 3

static int rank, ranks;

typedef struct {
    enum { F32, F64, U8 } kind;
    const char *name;
    size_t size;
    MPI_Datatype type;
} Dtype;

// An operation at one size.
typedef struct {
    // Elements of a message, of the block for one rank, or of the vector that is reduced.
    int count;
    Dtype dtype;
    // How many messages are under way at once in one direction.
    int window;
    char *out, *into;
    // From one buffer of `into` to the next: each message of a window has its own.
    size_t stride;
} Case;

typedef struct {
    const char *name;
    // Does it so many times.
    void (*run)(const Case *, long repeats);
    // How many blocks of `count` elements this rank gives, and how many it gets in each buffer.
    int (*given)(void), (*got)(void);
    // What element `at` of its result is.
    long (*result)(const Case *, size_t at);
    // Of what `run` does once: the operation, two of them, or as many as a window has.
    enum { SINGLE, ROUND_TRIP, WINDOWED } kind;
} Operation;

static void fail(const char *what) {
    fprintf(stderr, "peer: rank %d: %s\n", rank, what);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

// How many blocks a rank has.

static int none(void) { return 0; }
static int one(void) { return 1; }
static int one_each(void) { return ranks; }
static int one_of_root(void) { return rank == 0; }
static int one_of_others(void) { return rank != 0; }
static int one_each_of_root(void) { return rank == 0 ? ranks : 0; }
static int one_of_first_two(void) { return rank < 2; }
static int one_of_second(void) { return rank == 1; }
static int one_of_senders(void) { return rank < ranks / 2; }
static int one_of_receivers(void) { return rank >= ranks / 2 && rank < ranks / 2 * 2; }

// What is given: small numbers, so that sums are exact in every type.

static long given_by(int from, size_t at) { return (long)((at * 31 + at / 251 + (size_t)from * 101) % 13); }

static long sum_of_first(int number, size_t at) {
    long sum = 0;
    for (int from = 0; from < number; from++) sum += given_by(from, at);
    return sum;
}

// What is got.

static long nothing(const Case *c, size_t at) { return (void)c, (void)at, 0; }
static long message_of_other(const Case *c, size_t at) { return (void)c, given_by(1 - rank, at); }
static long message_of_sender(const Case *c, size_t at) { return (void)c, given_by(rank - ranks / 2, at); }
static long block_of_root(const Case *c, size_t at) { return given_by(0, (size_t)rank * (size_t)c->count + at); }
static long all_of_root(const Case *c, size_t at) { return (void)c, given_by(0, at); }
static long block_of_each(const Case *c, size_t at) {
    return given_by((int)(at / (size_t)c->count), at % (size_t)c->count);
}
static long own_block_of_each(const Case *c, size_t at) {
    return given_by((int)(at / (size_t)c->count), (size_t)rank * (size_t)c->count + at % (size_t)c->count);
}
static long sum(const Case *c, size_t at) { return (void)c, sum_of_first(ranks, at); }
static long own_block_of_sum(const Case *c, size_t at) {
    return sum_of_first(ranks, (size_t)rank * (size_t)c->count + at);
}
static long sum_so_far(const Case *c, size_t at) { return (void)c, sum_of_first(rank + 1, at); }

// Messages.

static void latency(const Case *c, long repeats) {
    for (long i = 0; i < repeats && rank < 2; i++) {
        if (rank == 0) {
            MPI_Send(c->out, c->count, c->dtype.type, 1, 0, MPI_COMM_WORLD);
            MPI_Recv(c->into, c->count, c->dtype.type, 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        } else {
            MPI_Recv(c->into, c->count, c->dtype.type, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
            MPI_Send(c->out, c->count, c->dtype.type, 0, 0, MPI_COMM_WORLD);
        }
    }
}

static void start_receives(const Case *c, int from, MPI_Request *requests) {
    for (int i = 0; i < c->window; i++)
        MPI_Irecv(c->into + (size_t)i * c->stride, c->count, c->dtype.type, from, 0, MPI_COMM_WORLD, &requests[i]);
}

static void start_sends(const Case *c, int to, MPI_Request *requests) {
    for (int i = 0; i < c->window; i++)
        MPI_Isend(c->out, c->count, c->dtype.type, to, 0, MPI_COMM_WORLD, &requests[i]);
}

// Windows from one rank to another, which answers when a window has arrived.
static void windows(const Case *c, long repeats, int from, int to) {
    MPI_Request requests[WINDOW];
    uint8_t answer = 0;
    for (long i = 0; i < repeats && (rank == from || rank == to); i++) {
        if (rank == from) {
            start_sends(c, to, requests);
            MPI_Waitall(c->window, requests, MPI_STATUSES_IGNORE);
            MPI_Recv(&answer, 1, MPI_UINT8_T, to, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        } else {
            start_receives(c, from, requests);
            MPI_Waitall(c->window, requests, MPI_STATUSES_IGNORE);
            MPI_Send(&answer, 1, MPI_UINT8_T, from, 1, MPI_COMM_WORLD);
        }
    }
}

static void bandwidth(const Case *c, long repeats) { windows(c, repeats, 0, 1); }

static void message_rate(const Case *c, long repeats) {
    int pairs = ranks / 2, from = rank % pairs;
    if (rank < 2 * pairs) windows(c, repeats, from, from + pairs);
}

static void bibandwidth(const Case *c, long repeats) {
    MPI_Request requests[2 * WINDOW];
    for (long i = 0; i < repeats && rank < 2; i++) {
        start_receives(c, 1 - rank, requests);
        start_sends(c, 1 - rank, requests + c->window);
        MPI_Waitall(2 * c->window, requests, MPI_STATUSES_IGNORE);
    }
}

// Collectives, of root 0.

#define COLLECTIVE(NAME, CALL)                                                                                         \
    static void NAME(const Case *c, long repeats) {                                                                    \
        int count = c->count;                                                                                          \
        MPI_Datatype type = c->dtype.type;                                                                             \
        void *out = c->out, *into = c->into;                                                                           \
        (void)count, (void)type, (void)out, (void)into;                                                                \
        for (long i = 0; i < repeats; i++) CALL;                                                                       \
    }

COLLECTIVE(barrier, MPI_Barrier(MPI_COMM_WORLD))
COLLECTIVE(bcast, MPI_Bcast(rank == 0 ? out : into, count, type, 0, MPI_COMM_WORLD))
COLLECTIVE(scatter, MPI_Scatter(out, count, type, into, count, type, 0, MPI_COMM_WORLD))
COLLECTIVE(gather, MPI_Gather(out, count, type, into, count, type, 0, MPI_COMM_WORLD))
COLLECTIVE(allgather, MPI_Allgather(out, count, type, into, count, type, MPI_COMM_WORLD))
COLLECTIVE(alltoall, MPI_Alltoall(out, count, type, into, count, type, MPI_COMM_WORLD))
COLLECTIVE(reduce, MPI_Reduce(out, into, count, type, MPI_SUM, 0, MPI_COMM_WORLD))
COLLECTIVE(allreduce, MPI_Allreduce(out, into, count, type, MPI_SUM, MPI_COMM_WORLD))
COLLECTIVE(reduce_scatter_block, MPI_Reduce_scatter_block(out, into, count, type, MPI_SUM, MPI_COMM_WORLD))
COLLECTIVE(scan, MPI_Scan(out, into, count, type, MPI_SUM, MPI_COMM_WORLD))

static const Operation OPERATIONS[] = {
    {"latency", latency, one_of_first_two, one_of_first_two, message_of_other, ROUND_TRIP},
    {"bandwidth", bandwidth, one_of_root, one_of_second, message_of_other, WINDOWED},
    {"bibandwidth", bibandwidth, one_of_first_two, one_of_first_two, message_of_other, WINDOWED},
    {"message_rate", message_rate, one_of_senders, one_of_receivers, message_of_sender, WINDOWED},
    {"barrier", barrier, none, none, nothing, SINGLE},
    {"bcast", bcast, one_of_root, one_of_others, all_of_root, SINGLE},
    {"scatter", scatter, one_each_of_root, one, block_of_root, SINGLE},
    {"gather", gather, one, one_each_of_root, block_of_each, SINGLE},
    {"allgather", allgather, one, one_each, block_of_each, SINGLE},
    {"alltoall", alltoall, one_each, one_each, own_block_of_each, SINGLE},
    {"reduce", reduce, one, one_of_root, sum, SINGLE},
    {"allreduce", allreduce, one, one, sum, SINGLE},
    {"reduce_scatter_block", reduce_scatter_block, one_each, one, own_block_of_sum, SINGLE},
    {"scan", scan, one, one, sum_so_far, SINGLE},
};

typedef struct {
    // Of each size, before its samples.
    long warm_up;
    // About how long the samples of a size take, and how many they are at most.
    double seconds;
    long samples;
    int is_checked;
} Effort;

// The seconds of what `run` does once, on the slowest rank: the same number on all ranks.
static double sample(const Operation *operation, const Case *c, long repeats) {
    MPI_Barrier(MPI_COMM_WORLD);
    double start = now();
    operation->run(c, repeats);
    double own = (now() - start) / (double)repeats, slowest;
    MPI_Allreduce(&own, &slowest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return slowest > 1e-9 ? slowest : 1e-9;
}

static long at_most(double number, long most) { return number < (double)most ? (long)number : most; }

static void *allocate(size_t bytes) {
    void *memory = NULL;
    // No bytes are no error.
    if (posix_memalign(&memory, PAGE, bytes + 1) != 0) fail("there is not enough memory");
    return memory;
}

// Runs it so many times on buffers that no operation has seen: what is given, and no result, which is NaN, and as a byte more
// than sums of few ranks.
static void fresh(const Operation *operation, const Case *c, size_t elements, long repeats) {
    for (size_t at = 0; at < elements; at++) {
        long value = given_by(rank, at);
        switch (c->dtype.kind) {
        case F32: ((float *)c->out)[at] = (float)value; break;
        case F64: ((double *)c->out)[at] = (double)value; break;
        case U8: ((uint8_t *)c->out)[at] = (uint8_t)value; break;
        }
    }
    memset(c->into, 0xff, (size_t)c->window * c->stride);
    operation->run(c, repeats);
}

static int is_result(const Case *c, const char *into, size_t at, long result) {
    switch (c->dtype.kind) {
    case F32: return ((const float *)into)[at] == (float)result;
    case F64: return ((const double *)into)[at] == (double)result;
    case U8: return ((const uint8_t *)into)[at] == (uint8_t)result;
    }
    return 0;
}

static void check(const Operation *operation, const Case *c, size_t elements) {
    for (int buffer = 0; buffer < c->window; buffer++) {
        for (size_t at = 0; at < elements; at++) {
            if (is_result(c, c->into + (size_t)buffer * c->stride, at, operation->result(c, at))) continue;
            char text[200];
            snprintf(text, sizeof text, "%s of %d %s: element %zu is not what it should be", operation->name, c->count,
                     c->dtype.name, at);
            fail(text);
        }
    }
}

static void measure(const Operation *operation, const Dtype *dtype, size_t bytes, const Effort *effort) {
    // Whole elements, and as many for each rank where blocks are equal: at least so many bytes.
    size_t blocks = operation->run == reduce_scatter_block ? (size_t)ranks : 1;
    size_t elements = (bytes + dtype->size * blocks - 1) / (dtype->size * blocks);
    bytes = elements * blocks * dtype->size;
    if (elements > INT_MAX) fail("MPI's functions take an int, and there are too many elements");
    Case c = {.count = (int)elements, .dtype = *dtype, .window = 1};
    if (operation->kind == WINDOWED) {
        size_t most = bytes == 0 ? WINDOW : WINDOW_BYTES / bytes;
        c.window = most < 1 ? 1 : most > WINDOW ? WINDOW : (int)most;
    }
    int operations = operation->kind == ROUND_TRIP ? 2 : c.window;
    size_t given = (size_t)operation->given() * elements, got = (size_t)operation->got() * elements;
    c.stride = (got * dtype->size + PAGE - 1) / PAGE * PAGE;
    c.out = allocate(given * dtype->size);
    c.into = allocate((size_t)c.window * c.stride);
    fresh(operation, &c, given, 1);
    if (effort->is_checked) check(operation, &c, got);
    double once = sample(operation, &c, 1);
    operation->run(&c, at_most(effort->seconds / once, effort->warm_up > 2 ? effort->warm_up - 2 : 0));
    long repeats = 1;
    for (;;) {
        once = sample(operation, &c, repeats);
        // One in which a rank had lost its core would pass for a slow operation.
        for (int i = 1; i < ESTIMATES; i++) {
            double again = sample(operation, &c, repeats);
            if (again < once) once = again;
        }
        double enough = ceil(SAMPLE_SECONDS / once);
        if ((double)repeats >= enough) break;
        // An estimate by few of them may be far off.
        repeats = at_most(enough, 16 * repeats);
    }
    long samples = at_most(effort->seconds / (once * (double)repeats), effort->samples);
    if (samples < LEAST_SAMPLES) samples = LEAST_SAMPLES;
    double *seconds = allocate((size_t)samples * sizeof *seconds);
    for (long i = 0; i < samples; i++) seconds[i] = sample(operation, &c, repeats) / operations;
    if (effort->is_checked) {
        // What the samples no longer brought would be there from the operations before them.
        fresh(operation, &c, given, repeats);
        check(operation, &c, got);
    }

    if (rank == 0) {
        printf("{\"row\": {\"operation\": \"%s\", \"dtype\": \"%s\", \"bytes\": %zu, \"checked\": %s, \"repeats\": %ld",
               operation->name, dtype->name, bytes, effort->is_checked ? "true" : "false", repeats);
        for (long i = 0; i < samples; i++) printf("%s%.9g", i == 0 ? ", \"samples\": [" : ", ", seconds[i]);
        printf("]}}\n");
        fflush(stdout);
    }
    free(seconds);
    free(c.out);
    free(c.into);
}

static int number_of_nodes(void) {
    MPI_Comm node;
    int rank_of_node, is_first, nodes;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    MPI_Comm_rank(node, &rank_of_node);
    MPI_Comm_free(&node);
    is_first = rank_of_node == 0;
    MPI_Allreduce(&is_first, &nodes, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    return nodes;
}

static void tell_job(int thread_level) {
    char library[MPI_MAX_LIBRARY_VERSION_STRING];
    int length, nodes = number_of_nodes();
    MPI_Get_library_version(library, &length);
    // Its first line, in which JSON needs no escapes.
    library[strcspn(library, "\n\"\\")] = '\0';
    for (char *tab = library; (tab = strchr(tab, '\t')) != NULL;) *tab = ' ';
    if (rank == 0)
        printf("{\"job\": {\"mpi\": \"%s\", \"thread_level\": \"%s\", \"nodes\": %d}}\n", library,
               thread_level == MPI_THREAD_MULTIPLE ? "multiple" : "single", nodes);
}

int main(int count, char **words) {
    int is_multiple = count > 1 && strcmp(words[1], "multiple") == 0, granted;
    MPI_Init_thread(&count, &words, is_multiple ? MPI_THREAD_MULTIPLE : MPI_THREAD_SINGLE, &granted);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (count < 8) fail("usage: peer THREAD_LEVEL WARM_UP SECONDS SAMPLES CHECK SIZES OPERATION:DTYPE...");
    Effort effort = {atol(words[2]), atof(words[3]), atol(words[4]), atoi(words[5])};
    const Dtype dtypes[] = {{F32, "f32", 4, MPI_FLOAT}, {F64, "f64", 8, MPI_DOUBLE}, {U8, "u8", 1, MPI_UINT8_T}};
    tell_job(granted);
    for (int word = 7; word < count; word++) {
        const Operation *operation = NULL;
        const Dtype *dtype = NULL;
        size_t length = strcspn(words[word], ":");
        for (size_t i = 0; i < sizeof OPERATIONS / sizeof *OPERATIONS; i++)
            if (strlen(OPERATIONS[i].name) == length && strncmp(OPERATIONS[i].name, words[word], length) == 0)
                operation = &OPERATIONS[i];
        for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
            if (words[word][length] != '\0' && strcmp(dtypes[i].name, words[word] + length + 1) == 0) dtype = &dtypes[i];
        if (operation == NULL || dtype == NULL) fail("there is no such operation or type");
        if (operation->run == barrier) {
            measure(operation, dtype, 0, &effort);
            continue;
        }
        for (char *at = words[6]; *at != '\0'; at += *at == ',') measure(operation, dtype, strtoul(at, &at, 10), &effort);
    }
    MPI_Finalize();
    return 0;
}
