// Package compress makes a layer's blob of its tar, and reads a blob back.
//
// # Same tar, same blob
//
// What a [Method] makes of a tar depends on the tar's bytes alone: not on the number of processors,
// nor on the pieces in which it is written, nor on what was compressed before.
// A tar is cut into blocks of a fixed size, each compressed for itself, at the same time as others.
// The bytes are those of a pinned version of github.com/klauspost/compress, and tests pin them:
// (Method).Identity says all that they depend on, for who keeps blobs from one version of this program to the next.
//
// A gzip blob is one member without a name or a time. A zstd blob is a frame for each block.
// Without compression the blob is the tar.
//
// # Memory
//
// A [Pool] has a fixed number of blocks for all that is packed with it at the same time.
// Who waits for one is always given it at some time, and after an error or a cancelled context all are back.
package compress
