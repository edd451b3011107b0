// Package startup finds out which programs of an image do not start, and why, without running them.
// The image need not have been written: Check reads [rootfs.Part]s and the files of an image below.
//
// # Errors
//
// An error is anything that keeps a program of PATH or the image's command from starting:
//
//   - A program is the first executable file of a name in PATH, as for runc and a shell. Links are followed.
//   - The kernel runs ELF files for the image's architecture, and scripts that begin with #!.
//     Check reads the first line of a script as Linux 5.1 and later do: at most 255 bytes, one argument,
//     at most 5 interpreters of interpreters. It searches PATH for a program that env starts, also with env -S.
//   - A program's ELF interpreter must exist, be executable, and be for the same machine.
//   - Check searches for all libraries of a program as its loader does. The loader's bytes tell which loader it is
//     and which directories are built into it. See loadGlibc and loadMusl.
//   - A library must define the symbol versions that others need from it. The symbols themselves are not checked.
//
// Other errors are an unknown user or group, a working directory that is not a directory, a health check
// that does not start, a link of the profile that leads nowhere, and a bundle of certificates that cannot be decoded or has only expired ones.
//
// # Warnings
//
// Faults of programs, scripts and libraries that nothing in PATH reaches are warnings. So are other links that lead nowhere,
// names of store objects that are not in the image, and files that another package's file hides.
// Warnings are also what programs miss once they run: the time zone in TZ, glibc's locales for LANG and LC_*,
// the host's driver for graphics and CUDA, a working directory, volumes, and store objects that the user cannot read.
// A library that no program loads may find libraries that its future program loaded before. So it causes no warning
// if it lacks a library that a program of PATH loads, or that is in the same store object.
//
// # Limits
//
// Check does not know what a running program opens, starts or loads by itself.
// It treats privileged programs like others, and assumes the least capable processor of its kind.
//
// # Hostile files
//
// Files may contain anything. Check keeps only a bounded part of each in memory.
// A malformed file is a problem of that file, not an error of Check.
package startup
