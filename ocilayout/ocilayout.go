// Package ocilayout makes OCI images of parts of a file system.
// It does not know where the parts come from; see package rootfs for what they are.
//
// [Plan] divides parts into layers, and [PlanSticky] does so that most layers of a previous image,
// which [(*ImageSource).ReadPrevious] reads, are used again; package plan below decides how. [Open] makes ready to write into an image layout,
// a directory as the OCI image specification describes it; (*Layout).AddImage builds an image for it,
// and (*Layout).Publish makes the image visible there under one or more names.
// [FindImage] and [OpenArchiveFile] find an image, of whatever program, in a layout or an archive, and [(*ImageSource).Read] reads it:
// (*Image).Tree says what is in its layers, and (*Image).VisibleObjects what of a store is visible in them.
// Other images can begin with it: its layers come before theirs. (*Layout).AddIndex joins images for several platforms into one.
// [OpenArchive] and [OpenTemporary] are for an image that becomes one tar, which podman, Docker and containerd load:
// (*Layout).PublishArchive writes it to a file, and (*Layout).WriteArchive into a stream.
// [PublishTar] and [WriteTar] make a tar of the file system itself, without an image.
// With [OpenStaged], it becomes visible nowhere here, but is delivered blob by blob; see package registry below.
//
// # Same input, same bytes
//
// Equal parts in equal layers with equal options give equal bytes, on any host,
// as any user, with any umask, time zone, directory and number of processors:
//
//   - A layer is a tar of our own making: USTAR, with a PAX header only where an entry needs one,
//     never a GNU extension. Names are relative, and a directory's ends with a slash.
//     Names and targets are bytes, as they are. Users and groups have no names, everything has the time 1,
//     and nothing is a hard link. Two zero blocks end it.
//     Files whose names begin with ".wh." cannot be in a layer, where they would delete others;
//     such whiteouts are written only for store objects of kept layers that an image no longer has,
//     and for what a layer with Layer.Changes hides.
//   - Compressed bytes depend on the tar alone; see package compress below. A diffID does not depend on them.
//   - With a previous image the result depends on that image, too, and on nothing else:
//     its layers are used in the bytes they have, whatever compressed them.
//   - An archive's own tar is as a layer's, its files have the mode 0644, and their order is that of the manifest.
//   - ImageSpec.Created touches the config alone, and no program's version is anywhere.
//
// # No layer is built twice
//
// With a [Cache], a layer whose parts promise to be the same is taken from there;
// its parts are not looked at. With another compression, it is compressed again.
// What another machine has made of it is as good, if whoever says so is trusted (see [Record] and Layer.Shared).
//
// # Nothing is visible until it is whole
//
// All is built in a staging directory (see rootfs.Staging): beside the layout if that does not exist yet,
// or else in it. A new layout appears by one rename. In an existing one,
// blobs are moved to their places first and index.json is replaced by a rename last,
// while the directory is locked (flock), so that runs can share it.
// A journal in the staging directory lists the blobs that may become garbage,
// so that the next Open of the same directory removes what a killed run left.
//
// A file is written in a staging directory beside it, which the next run for the same file removes
// if this one is killed, and appears by one rename.
//
// What only a replaced image reached is deleted. Where it is not certain what the other images reach,
// because one of them is incomplete, damaged or of an unknown type, nothing is.
//
// Other programs that write into the same layout at the same time do not know the lock.
package ocilayout
