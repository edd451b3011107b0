// Package ocilayout builds OCI images from parts of a file system; see package rootfs for parts.
// It does not know where the parts come from.
//
// The packages below it divide parts into layers (plan), describe layers in an image's history (history),
// compress them (compress), push, pull and share them (registry), and check images (verify).
//
// # Building an image
//
// [Plan] divides parts into [Layer] values. [PlanSticky] does so, too, but reuses most layers of a [PreviousImage].
// An [ImageSpec] is the complete description of an image; [Layout.AddImage] builds it. The [Layout] decides where it goes:
//
//   - [Open] opens an image layout, a directory of the OCI image specification.
//     [Layout.Publish] makes the image visible there under one or more names ([Name]).
//   - [OpenArchive] and [OpenTemporary] prepare one tar that podman, Docker and containerd load.
//     [Layout.PublishArchive] writes it to a file, [Layout.WriteArchive] to a stream.
//   - [OpenStaged] prepares an image that joins no layout: Options.Deliver receives each [Blob].
//     Package registry pushes images this way.
//
// [Layout.AddIndex] joins images for several platforms into one index.
// [PublishTar] and [WriteTar] write a tar of the file system itself, without an image.
//
// # Reading an image
//
// [FindImage] finds an image of any program in a layout, and [OpenArchiveFile] one in an archive.
// Both return an [ImageSource], and so does package registry. [ImageSource.Read] reads the [Image]:
// [Image.VisibleObjects] lists its store objects according to its history, and [Image.Tree] reads its layers
// to an [ImageTree]. An Image can be the base of another one, whose layers come above.
// [ImageSource.ReadPrevious] reads a [PreviousImage].
//
// # Same input, same bytes
//
// Equal parts in equal layers with equal options give equal bytes, on any host,
// as any user, with any umask, time zone, directory and number of processors:
//
//   - We write the tar of a layer ourselves: USTAR, with a PAX header only for an entry that needs one,
//     and never a GNU extension. Names are relative; a directory's name ends with a slash.
//     Names and link targets are raw bytes. Users and groups have no names, every time is 1,
//     and there are no hard links. Two zero blocks end the tar.
//     A layer cannot hold a file whose name begins with ".wh.": it would delete others.
//     We write such whiteouts only for store objects of reused layers that the image no longer has,
//     and for paths that a layer with Layer.Changes hides.
//   - Compressed bytes depend on the tar alone; see package compress. DiffIDs do not depend on the compression.
//   - With a previous image the result also depends on that image, and on nothing else:
//     its layers are reused byte for byte, with any compression.
//   - The tar of an archive has the same format. Its files have mode 0644 and the order of the manifest.
//   - ImageSpec.Created affects only the config. The version of this program appears nowhere.
//
// # No layer is built twice
//
// A [Cache] supplies a layer whose parts have the same keys, without looking at the parts.
// If it has the layer with another compression, the layer is only compressed again.
// Another machine's [Record] of a layer is as good, if its author is trusted; see Layer.Shared.
//
// # Nothing is visible until it is complete
//
// Everything is built in a staging directory (see staging.Dir), in the layout or, if that does not exist yet, beside it.
// A new layout appears by one rename. In an existing layout, blobs move to their places first,
// and a rename replaces index.json last. Meanwhile the directory is locked (flock), so that several runs can share it.
// A journal in the staging directory lists the blobs that may become garbage,
// so that the next Open of the same directory can remove what a killed run left.
//
// An archive or a tar is written in a staging directory beside its file, and appears by one rename.
// If the run is killed, the next run for the same file removes the staging directory.
//
// Publish deletes blobs that only a replaced image needed. It deletes nothing if another image in the layout
// is incomplete, damaged or of an unknown type, because then its blobs are not known for certain.
//
// Other programs that write into the same layout at the same time do not know the lock.
package ocilayout
