// Counts the instructions that a program executes under qemu's user-mode emulation, block by block (plugin API 1).
//
//   cc -O2 -shared -fPIC -o icount.so icount.c
//   qemu-aarch64 -cpu max -plugin ./icount.so,out=FILE PROGRAM ARGUMENTS      (a qemu that is not linked statically)
//
// FILE gets one line per block of code that ran: how often, its address, its instructions in hexadecimal, its symbol.
// A block is what the emulator translates at once: it has one entry, and ends at a branch or at the end of a page.
// Counters are plain words, so the program must have one thread.
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The few declarations of qemu-plugin.h that are needed here; Debian does not ship that file.
#define EXPORT __attribute__((visibility("default")))
enum { INLINE_ADD_U64 = 0 };
struct qemu_plugin_tb;
struct qemu_plugin_insn;
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*)(uint64_t id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int operation, void *counter, uint64_t add);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*)(uint64_t id, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t at);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *);
EXPORT int qemu_plugin_version = 1;

struct block {
    uint64_t executed;
    uint64_t address;
    const char *symbol;
    struct block *next;
    size_t instructions;
    uint32_t code[];
};

static struct block *blocks;
static const char *path;

static void translate(uint64_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    size_t n = qemu_plugin_tb_n_insns(tb);
    struct block *block = malloc(sizeof *block + n * sizeof block->code[0]);
    if (n == 0 || block == NULL)
        abort();
    for (size_t i = 0; i < n; i++)
        memcpy(&block->code[i], qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), sizeof block->code[i]);
    const char *symbol = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(tb, 0));
    block->executed = 0;
    block->address = qemu_plugin_tb_vaddr(tb);
    block->symbol = symbol && *symbol ? symbol : "-";
    block->instructions = n;
    block->next = blocks;
    blocks = block;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &block->executed, 1);
}

static void finish(uint64_t id, void *data) {
    (void)id, (void)data;
    FILE *out = fopen(path, "w");
    if (out == NULL) {
        perror(path);
        return;
    }
    for (const struct block *block = blocks; block; block = block->next) {
        if (block->executed == 0)
            continue;
        fprintf(out, "%" PRIu64 " %" PRIx64 " ", block->executed, block->address);
        for (size_t i = 0; i < block->instructions; i++)
            fprintf(out, "%08" PRIx32, block->code[i]);
        fprintf(out, " %s\n", block->symbol);
    }
    fclose(out);
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++)
        if (strncmp(argv[i], "out=", 4) == 0)
            path = strdup(argv[i] + 4);
    if (path == NULL) {
        fputs("icount: say where the counts go, with out=FILE\n", stderr);
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    qemu_plugin_register_atexit_cb(id, finish, NULL);
    return 0;
}
