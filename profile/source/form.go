package source

import (
	"github.com/export-profile/export-profile/profile/binarycache"
	"github.com/export-profile/export-profile/profile/tarstore"
)

// Form is a form of a source.
type Form int

const (
	Machine        Form = iota // the store of this machine
	CopiedStore                // a directory with nix/store in it
	StoreDirectory             // a directory of store objects
	CacheDirectory
	CacheServer
	ExportStream
	Tar
)

// LoginError reports that a server wants a login.
type LoginError = binarycache.LoginError

// TarError reports a tar that has no store.
type TarError = tarstore.FormatError

// NARError reports a NAR of a binary cache that cannot be used.
type NARError = binarycache.NARError

// opened tells Options.Opened the form of a source.
func (o *Options) opened(from string, f Form) {
	if o.Opened != nil {
		o.Opened(from, f)
	}
}
