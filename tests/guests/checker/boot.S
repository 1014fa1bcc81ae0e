/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry of the self-checking guest: multiboot -> long mode -> ring 3, for the first vCPU and, by INIT/SIPI, the others.
 *
 * All work is done in ring 3, because a KVM that emulates kernel mode runs only ring 3 at full speed. Ring 0 holds
 * the few instructions below. Such a KVM loses IOPL, so port access comes from the I/O bitmap in the TSS, and `hlt`
 * and `sti` in ring 3 arrive as #GP, whose handler carries them out. The same code runs under TCG.
 */
        .set MAX_VCPUS, 4
        .set KERNEL_STACK_BYTES, 4096
        .set USER_STACK_BYTES, 16384
        .set TSS_BYTES, 256
        .set TRAMPOLINE, 0x7000
        .set LAPIC_EOI, 0xfee000b0
        .ifndef USER_FLAGS                      /* of ring 3: a guest that needs more ports asks for IOPL, and does without such a KVM */
        .set USER_FLAGS, 0x2
        .endif

        .section .multiboot, "a"
        .align 4
        .long 0x1badb002, 2, -(0x1badb002 + 2)

        .macro ENTER_LONG_MODE target
        movl $0x620, %eax                       /* PAE, OSFXSR, OSXMMEXCPT */
        movl %eax, %cr4
        movl $pml4, %eax
        movl %eax, %cr3
        movl $0xc0000080, %ecx
        rdmsr
        orl $0x100, %eax
        wrmsr
        movl $0x80000033, %eax
        movl %eax, %cr0
        lgdt gdt_pointer
        ljmp $0x08, $\target
        .endm

        .text
        .code32
        .globl _start
_start: cli
        movb $0xff, %al                         /* the old PIC stays silent: only the LAPIC interrupts */
        outb %al, $0x21
        outb %al, $0xa1
        ENTER_LONG_MODE first_64

        .code64
first_64:
        movl %ebx, %esi
        xorl %edi, %edi
        jmp enter_ring3

other_64:
        movl $1, %edi
        lock xaddl %edi, n_others_started(%rip)
        incl %edi
        cmpl $MAX_VCPUS, %edi
        jb enter_ring3
1:      hlt
        jmp 1b

/* edi: index of this vCPU, esi: second argument of vcpu_main */
enter_ring3:
        movl $0x10, %eax
        movl %eax, %ss
        movl $0x23, %eax
        movl %eax, %ds
        movl %eax, %es
        lidt idt_pointer
        movl %edi, %eax                         /* rbx = this vCPU's TSS */
        imull $TSS_BYTES, %eax
        leal tss(%eax), %ebx
        leal 1(%edi), %eax
        imull $KERNEL_STACK_BYTES, %eax
        addl $kernel_stacks, %eax
        movl %eax, %esp
        movl %eax, 4(%rbx)                      /* RSP0 */
        movw $104, 102(%rbx)                    /* I/O bitmap: ports 0 to 0x3ff allowed */
        movb $0xff, 232(%rbx)
        movl %edi, %ecx                         /* its descriptor: available 64-bit TSS, limit 232 */
        shll $4, %ecx
        movq %rbx, %rax
        shlq $16, %rax
        movabsq $0x00008900000000e8, %rdx
        orq %rdx, %rax
        movq %rax, tss_descriptors(%rcx)
        addl $(tss_descriptors - gdt), %ecx
        ltr %cx
        leal 1(%edi), %eax
        imull $USER_STACK_BYTES, %eax
        addl $(user_stacks - 8), %eax
        pushq $0x23
        pushq %rax
        pushq $USER_FLAGS
        pushq $0x1b
        pushq $vcpu_main
        iretq

/* Copied to TRAMPOLINE, where a vCPU wakes up in real mode. */
        .globl trampoline, trampoline_end
trampoline:
        .code16
        cli
        xorw %ax, %ax
        movw %ax, %ds
        lgdtl (TRAMPOLINE + trampoline_gdt - trampoline)
        movl %cr0, %eax
        orl $1, %eax
        movl %eax, %cr0
        ljmpl $0x28, $other_32
        .align 8
trampoline_gdt:
        .word gdt_end - gdt - 1
        .long gdt
trampoline_end:

        .code32
other_32:
        movl $0x10, %eax
        movl %eax, %ss
        movl %eax, %ds
        movl %eax, %es
        ENTER_LONG_MODE other_64
        .code64

        .globl timer_entry, spurious_entry, protection_entry, fault_entries
timer_entry:
        pushq %rax
        lock incq n_ticks(%rip)
        movl $LAPIC_EOI, %eax
        movl $0, (%rax)
        popq %rax
spurious_entry:
        iretq

/* On the stack: error code, RIP, CS, RFLAGS, RSP, SS. */
protection_entry:
        pushq %rax
        movq 16(%rsp), %rax
        movb (%rax), %al
        cmpb $0xf4, %al                         /* hlt: sleep until the next interrupt */
        jne 1f
        incq 16(%rsp)
        popq %rax
        addq $8, %rsp
        sti
        hlt
        cli
        iretq
1:      cmpb $0xfb, %al                         /* sti */
        jne 2f
        incq 16(%rsp)
        orl $0x200, 32(%rsp)
        popq %rax
        addq $8, %rsp
        iretq
2:      popq %rax
        pushq $13
        jmp fatal

/* One entry of 8 bytes for each of the 32 exceptions. */
        .align 8
fault_entries:
        .set vector, 0
        .rept 32
        .align 8
        pushq $vector
        jmp fatal
        .set vector, vector + 1
        .endr

/* The vector and what the processor pushed go to fault_report, which never returns. */
fatal:  movq %rsp, %rdi
        andq $-16, %rsp
        call fault_report
1:      cli
        hlt
        jmp 1b

        .data
        .globl idt, n_ticks, n_others_started, pdpt
        .align 4096
pml4:   .quad pdpt + 7
        .fill 511, 8, 0
pdpt:   .quad first_gigabyte + 7, 0, 0, lapic_gigabyte + 7
        .fill 508, 8, 0
first_gigabyte:
        .set megabytes, 0
        .rept 512
        .quad megabytes * 0x100000 + 0x87
        .set megabytes, megabytes + 2
        .endr
lapic_gigabyte:                                 /* 3 to 4 GiB: only the LAPIC, uncached */
        .fill 0x1f7, 8, 0
        .quad 0xfee0009f
        .fill 8, 8, 0
idt:    .fill 512, 8, 0
gdt:    .quad 0
        .quad 0x00af9b000000ffff                /* 0x08 code 64, ring 0 */
        .quad 0x00cf93000000ffff                /* 0x10 data, ring 0 */
        .quad 0x00affb000000ffff                /* 0x18 code 64, ring 3 */
        .quad 0x00cff3000000ffff                /* 0x20 data, ring 3 */
        .quad 0x00cf9b000000ffff                /* 0x28 code 32, ring 0 */
tss_descriptors:
        .fill 2 * MAX_VCPUS, 8, 0
gdt_end:
gdt_pointer:
        .word gdt_end - gdt - 1
        .quad gdt
idt_pointer:
        .word 4095
        .quad idt
        .align 8
n_ticks: .quad 0
n_others_started: .long 0

        .bss
        .align 4096
kernel_stacks: .skip MAX_VCPUS * KERNEL_STACK_BYTES
user_stacks: .skip MAX_VCPUS * USER_STACK_BYTES
tss:    .skip MAX_VCPUS * TSS_BYTES
        .section .note.GNU-stack, "", @progbits
