// SPDX-License-Identifier: Apache-2.0
/*
 * Upcalls into a real .spa file (upcall.h).
 *
 * System calls of the image are caught by Linux's syscall user dispatch: a
 * `syscall` from anywhere but the allowed range raises SIGSYS, whose handler
 * plays the kernel. The allowed range is all that lies above the slice, where
 * this program and its libraries are (it is linked as a PIE). Faults are
 * caught by signals on a stack of their own, and instructions are counted with
 * the trap flag.
 */
#define _GNU_SOURCE
#include "spafile.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#include "upcall.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON 1
#endif
#define BLOCK 1
#define ABOVE_SLICE 0x400000000000ULL
#define TRAP_FLAG 0x100

uint64_t fake_now = 1000000;
bool elf_count_steps;
uint64_t elf_cut_after;
struct uls_manifest elf_manifest;

static uint64_t entry, steps;
static volatile char selector = BLOCK;
static sigjmp_buf out;
static struct outcome result;
static struct { unsigned int type; char name[ULS_NAME_MAX]; } notes[256];
static unsigned int notes_n;

static _Noreturn void bad(const char *path, const char *why)
{
	printf("Bail out! %s: %s\n", path, why);
	exit(1);
}

static void read_notes(const char *path, const uint8_t *p, uint64_t n)
{
	notes_n = 0;
	while (n >= sizeof(Elf64_Nhdr)) {
		const Elf64_Nhdr *h = (const void *)p;
		const uint8_t *desc = p + sizeof(*h) + ((h->n_namesz + 3) & ~3u);
		uint64_t size = sizeof(*h) + ((h->n_namesz + 3) & ~3u) + ((h->n_descsz + 3) & ~3u);

		if (size > n || h->n_namesz != 4 || memcmp(h + 1, "ULS", 4) || notes_n == 256)
			bad(path, "damaged notes");
		notes[notes_n].type = h->n_type;
		if (h->n_type == ULS_NT_MANIFEST)
			memcpy(&elf_manifest, desc, sizeof(elf_manifest));
		else if (h->n_type == ULS_NT_PARAM)
			memcpy(notes[notes_n].name, ((const struct uls_note_param *)desc)->name, ULS_NAME_MAX);
		else
			memcpy(notes[notes_n].name, desc, ULS_NAME_MAX);
		notes_n++;
		p += size;
		n -= size;
	}
}

static unsigned int find_note(unsigned int type, const char *name)
{
	unsigned int i, n = 0;

	for (i = 0; i < notes_n; i++) {
		if (notes[i].type != type)
			continue;
		if (!strcmp(notes[i].name, name))
			return n;
		n++;
	}
	bad(name, "no such note");
}

unsigned int elf_counter(const char *name) { return find_note(ULS_NT_COUNTER, name); }
unsigned int elf_param(const char *name) { return find_note(ULS_NT_PARAM, name); }

static void relocate(struct slice *s, const char *path, const uint8_t *file, const Elf64_Ehdr *e)
{
	const Elf64_Shdr *sh = (const void *)(file + e->e_shoff);
	int i;

	for (i = 0; i < e->e_shnum; i++) {
		const Elf64_Rela *r = (const void *)(file + sh[i].sh_offset);
		uint64_t n = sh[i].sh_size / sizeof(*r);

		if (sh[i].sh_type == SHT_REL)
			bad(path, "REL relocations");
		if (sh[i].sh_type != SHT_RELA)
			continue;
		for (; n--; r++) {
			if (ELF64_R_TYPE(r->r_info) != R_X86_64_RELATIVE)
				bad(path, "a relocation that is not R_X86_64_RELATIVE");
			*(uint64_t *)(s->base + r->r_offset) = (uint64_t)s->base + (uint64_t)r->r_addend;
		}
	}
}

void elf_load(struct slice *s, const char *path)
{
	int i, fd = open(path, O_RDONLY | O_CLOEXEC);
	const Elf64_Phdr *ph;
	const Elf64_Ehdr *e;
	struct stat st;
	uint8_t *file;

	if (fd < 0 || fstat(fd, &st))
		bad(path, strerror(errno));
	file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	e = (const void *)file;
	if (file == MAP_FAILED || memcmp(e->e_ident, ELFMAG, SELFMAG) || e->e_machine != EM_X86_64 ||
	    e->e_type != ET_DYN)
		bad(path, "not a position-independent x86-64 ELF file");
	if (mmap(s->base + ULS_OFF_IMAGE, ULS_IMAGE_MAX, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		bad(path, "mmap");
	ph = (const void *)(file + e->e_phoff);
	for (i = 0; i < e->e_phnum; i++) {
		if (ph[i].p_type == PT_NOTE)
			read_notes(path, file + ph[i].p_offset, ph[i].p_filesz);
		if (ph[i].p_type != PT_LOAD)
			continue;
		if (ph[i].p_vaddr % 4096 || ph[i].p_vaddr < ULS_OFF_IMAGE ||
		    ph[i].p_vaddr + ph[i].p_memsz > ULS_OFF_HEAP)
			bad(path, "a segment outside the image window");
		mprotect(s->base + ph[i].p_vaddr, ph[i].p_memsz, PROT_READ | PROT_WRITE);
		memcpy(s->base + ph[i].p_vaddr, file + ph[i].p_offset, ph[i].p_filesz);
	}
	relocate(s, path, file, e);
	for (i = 0; i < e->e_phnum; i++) {
		uint32_t f = ph[i].p_flags;

		if (ph[i].p_type != PT_LOAD)
			continue;
		if ((f & PF_W) && (f & PF_X))
			bad(path, "a segment writable and executable");
		mprotect(s->base + ph[i].p_vaddr, ph[i].p_memsz,
			 (f & PF_R ? PROT_READ : 0) | (f & PF_W ? PROT_WRITE : 0) | (f & PF_X ? PROT_EXEC : 0));
	}
	entry = (uint64_t)s->base + e->e_entry;
	munmap(file, (size_t)st.st_size);
}

static void on_sys(int sig, siginfo_t *si, void *uc)
{
	greg_t *r = ((ucontext_t *)uc)->uc_mcontext.gregs;

	(void)sig;
	steps++;
	switch (si->si_syscall) {
	case ULS_SYS_RETURN:
		result.result = r[REG_RDI];
		siglongjmp(out, 1);
	case ULS_SYS_CLOCK:
		r[REG_RAX] = (greg_t)fake_now;
		break;
	case ULS_SYS_BUDGET:
		r[REG_RAX] = 50000;
		break;
	case ULS_SYS_CPU:
		r[REG_RAX] = 0;
		break;
	case ULS_SYS_ABORT:
		result.aborted = true;
		result.code = (uint64_t)r[REG_RDI];
		siglongjmp(out, 1);
	default:
		result.aborted = true;
		result.bad_service = si->si_syscall;
		siglongjmp(out, 1);
	}
}

static void on_fault(int sig, siginfo_t *si, void *uc)
{
	greg_t *r = ((ucontext_t *)uc)->uc_mcontext.gregs;

	if (sig == SIGTRAP && elf_count_steps && (r[REG_EFL] & TRAP_FLAG)) {
		/* The way in is one step. */
		if (steps++ != elf_cut_after || !elf_cut_after)
			return;
	}
	result.aborted = true;
	result.signal = sig;
	result.addr = (uint64_t)si->si_addr;
	siglongjmp(out, 1);
}

static void handle(int sig, void (*fn)(int, siginfo_t *, void *))
{
	struct sigaction a = { .sa_sigaction = fn, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	sigaction(sig, &a, NULL);
}

static void prepare(void)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGALRM };
	static uint8_t alt[65536];
	stack_t st = { .ss_sp = alt, .ss_size = sizeof(alt) };
	static bool done_before;
	size_t i;

	if (done_before)
		return;
	done_before = true;
	sigaltstack(&st, NULL);
	handle(SIGSYS, on_sys);
	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		handle(faults[i], on_fault);
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, ABOVE_SLICE,
		  0x7fffffffffffULL - ABOVE_SLICE, &selector))
		bad("prctl", "no syscall user dispatch: these tests need Linux 5.11 or newer");
}

/* Registers as the ABI says: three arguments, the stack, the flags, all else 0. */
static void enter(uint64_t reason, uint64_t arg, uint64_t info, uint64_t sp)
{
	register uint64_t flags __asm__("r8") = 0x202 | (elf_count_steps ? TRAP_FLAG : 0);
	register uint64_t target __asm__("r9") = entry;
	register uint64_t stack __asm__("r10") = sp;

	__asm__ volatile("mov %%r10, %%rsp\n\t"
			 "push %%r9\n\t"
			 "push %%r8\n\t"
			 "xor %%eax, %%eax; xor %%ebx, %%ebx; xor %%ecx, %%ecx; xor %%ebp, %%ebp\n\t"
			 "xor %%r8d, %%r8d; xor %%r9d, %%r9d; xor %%r10d, %%r10d; xor %%r11d, %%r11d\n\t"
			 "xor %%r12d, %%r12d; xor %%r13d, %%r13d; xor %%r14d, %%r14d; xor %%r15d, %%r15d\n\t"
			 "popf\n\t"
			 "ret"
			 : : "D"(reason), "S"(arg), "d"(info), "r"(flags), "r"(target), "r"(stack) : "memory");
	__builtin_unreachable();
}

struct outcome upcall(struct slice *s, uint64_t reason, uint64_t arg)
{
	prepare();
	result = (struct outcome){ .bad_service = -1 };
	steps = 0;
	if (!sigsetjmp(out, 1))
		enter(reason, arg, (uint64_t)s->info, (uint64_t)s->base + ULS_OFF_STACKS + ULS_STACK_STRIDE);
	/* The way in, one `ret`, was counted too. */
	result.steps = steps - 1;
	return result;
}
