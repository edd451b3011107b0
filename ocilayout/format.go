package ocilayout

// FormatVersion is the version of the bytes of an image. Programs with the same FormatVersion and the same
// compressor (see [compress.Version]) make the same layers of the same parts.
// It is in every cache key: a change to a byte of a tar raises it.
const FormatVersion = tarFormat
