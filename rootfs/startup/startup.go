// Package startup finds out which programs of an image do not start, and why, without running them.
// The image need not have been written: it is looked at as [rootfs.Part]s and the files of an image below.
//
// # What is wrong
//
// Errors are what keeps a program of PATH or the image's command from starting:
//
//   - A program is, as for runc and a shell, the first executable file of a name in PATH; links are followed.
//   - The kernel takes ELF files for the image's architecture, and scripts that begin with #!, whose first line is
//     read as Linux 5.1 and later do: at most 255 bytes, one argument, at most 5 interpreters of interpreters.
//     What env looks for is looked for along PATH, with -S, too.
//   - A program's ELF interpreter must be there, executable, and for the same machine.
//   - The libraries of the whole program are searched as its loader does it. Which one that is, and which directories
//     are built into it, is seen in its bytes. See byGlibc and byMusl.
//   - Symbols are not looked at; versions of symbols that a library is asked for and does not have are an error.
//
// So are a user, a group, or a working directory that is none, a link of the profile that leads nowhere,
// and a bundle of certificates that cannot be decoded or of which all are expired.
//
// Warnings are the same for programs, scripts and libraries that nothing in PATH reaches, other links that lead
// nowhere, names of store objects that are not in the image, and files that are hidden by another package's.
// A library that is loaded by a program may find what that has loaded before: it is not warned of libraries that
// a program of PATH loads, or that are in the same store object.
//
// What a program looks for once it runs is not known: what it opens, starts, or loads by itself.
// Privileged programs are judged as others. A processor is taken to be the least of its kind.
//
// # Hostile files
//
// Files may say what they like. Of each, a bounded part is read, once if it is in a stream, and what is odd about one is
// a problem of that file and no error of the check.
package startup
