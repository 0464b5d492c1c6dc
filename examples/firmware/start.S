// Where the machine begins: one CPU at EL1, without floating point, stack or caches. main gets all three.
//
// The tables map the first two gigabytes one to one: devices below 1 GB, memory that is cached above. Without them all memory is a device's,
// and reading words that are not aligned, as weights in place are not, would trap.

.section .text.start, "ax"
.global _start
_start:
    mov     x0, #(3 << 20)              // CPACR_EL1.FPEN: floating point and vectors
    msr     cpacr_el1, x0
    isb
    ldr     x0, =stack_top
    mov     sp, x0

    ldr     x0, =bss_start              // what begins as zeros
    ldr     x1, =bss_end
1:  cmp     x0, x1
    b.hs    2f
    stp     xzr, xzr, [x0], #16
    b       1b
2:
    ldr     x0, =tables
    ldr     x1, =0x0000000000000401     // a block, its access flag set: devices (attribute 0)
    str     x1, [x0]
    ldr     x1, =0x0000000040000705     // memory (attribute 1), shared inside
    str     x1, [x0, #8]
    msr     ttbr0_el1, x0
    ldr     x0, =0xff00                 // attribute 0: device, 1: memory, cached
    msr     mair_el1, x0
    ldr     x0, =0x0000000280803519     // 39 bits of addresses, pages of 4 KB, tables that are cached
    msr     tcr_el1, x0
    isb
    mrs     x0, sctlr_el1
    mov     x1, #0x1005                 // caches and translation on
    orr     x0, x0, x1
    msr     sctlr_el1, x0
    isb
    bl      main
3:  wfi
    b       3b

.section .bss.tables, "aw", @nobits
.balign 4096
tables:
    .space  4096
