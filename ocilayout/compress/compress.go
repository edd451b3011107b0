// Package compress compresses the tar of a layer into its blob, and decompresses blobs.
//
// # Same tar, same blob
//
// The blob that a [Method] makes depends only on the bytes of the tar. The number of processors makes no difference,
// nor do the sizes of writes or what was compressed before.
// A tar is cut into blocks of a fixed size. Each is compressed independently, several at a time.
// The bytes come from a pinned version of github.com/klauspost/compress, and tests pin them.
// [Method.Identity] names everything that they depend on, for caches that outlive a version of this program.
//
// A gzip blob is one member without a name or a time. A zstd blob has a frame for each block.
// Without compression the blob is the tar.
//
// # Memory
//
// A [Pool] has memory for a fixed number of blocks, which all concurrent calls of Pack share: for each worker,
// two blocks of input and two of output, which takes as much memory as the compressed blocks need.
// Waiting for a block always ends. After an error or a cancelled context, every block is back in the pool.
package compress
