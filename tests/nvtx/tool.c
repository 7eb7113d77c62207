/* A tool for NVTX ranges that writes what it is told to the file that NVTX_TOOL_RECORD names.
 *
 * It is loaded in any way: as the library of NVTX_INJECTION64_PATH, or preloaded, it asks for the slots of the
 * functions and writes its own into them; as libnvToolsExt.so.1, its functions are found by their names.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct {
    uint16_t version, size;
    uint32_t category;
    int32_t color_type;
    uint32_t color;
    int32_t payload_type, reserved;
    uint64_t payload;
    int32_t message_type;
    const char *message;
} attributes;

typedef void (*function)(void);
typedef struct {
    size_t size;
    int (*get_slots)(int group, function ***slots, unsigned *count);
} callbacks;
typedef struct {
    size_t size;
    uint32_t version, reserved;
    void (*set_tool_version)(uint32_t version);
} version_info;

static int a_domain;
static uint64_t ranges;

static FILE *record(void)
{
    static FILE *file;
    if (!file) {
        file = fopen(getenv("NVTX_TOOL_RECORD"), "a");
        if (!file)
            abort();
        setvbuf(file, NULL, _IOLBF, 0);
    }
    return file;
}

void *nvtxDomainCreateA(const char *name)
{
    fprintf(record(), "domain %s\n", name);
    return getenv("NVTX_TOOL_ABSENT") ? NULL : &a_domain;
}

uint64_t nvtxDomainRangeStartEx(void *domain, const attributes *about)
{
    uint64_t number = __atomic_add_fetch(&ranges, 1, __ATOMIC_RELAXED);
    if (domain != &a_domain || about->version != 3 || about->size != sizeof *about || about->payload_type != 1 ||
        about->message_type != 1)
        abort();
    fprintf(record(), "start %llu %s %llu\n", (unsigned long long)number, about->message,
            (unsigned long long)about->payload);
    return number;
}

void nvtxDomainRangeEnd(void *domain, uint64_t number)
{
    if (domain != &a_domain)
        abort();
    fprintf(record(), "end %llu\n", (unsigned long long)number);
}

#ifdef PRELOADED
#define InitializeInjectionNvtx2 InitializeInjectionNvtx2Preinject
#endif

int InitializeInjectionNvtx2(const void *(*export)(uint32_t table))
{
    const callbacks *of = export(1);
    const version_info *version = export(3);
    function **slots;
    unsigned count;
    if (!of || of->size < sizeof *of || !version || version->version != 3 || export(77))
        abort();
    version->set_tool_version(3);
    /* The functions without domains are there, and nobody calls them. */
    if (!of->get_slots(1, &slots, &count) || count != 16 || of->get_slots(0, &slots, &count))
        abort();
    if (!of->get_slots(5, &slots, &count) || count != 16 || slots[0] || slots[count])
        abort();
    *slots[2] = (function)nvtxDomainRangeStartEx;
    *slots[3] = (function)nvtxDomainRangeEnd;
    *slots[12] = (function)nvtxDomainCreateA;
    fprintf(record(), "injected\n");
    return 1;
}
