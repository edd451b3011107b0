package base

import "github.com/export-profile/export-profile/rootfs"

// plainPath is the search path of an image without a profile, which is that of Docker's official images.
const plainPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// makeEnv sets PATH, and says where the certificates are. For Guix it also sets the search paths of the profiles.
func (b *builder) makeEnv(o Options, f *Files) (err error) {
	certificates := []string{"NIX_SSL_CERT_FILE=/", "SSL_CERT_FILE=/"}
	switch {
	case b.store.IsGuix():
		f.Env = b.guixPaths(o.Profiles)
		certificates = certificates[1:]
	case len(o.Profiles) > 0:
		path := "PATH=/run/profile/bin"
		for _, p := range o.Profiles {
			path += ":/" + p + "/bin" // for a container with a mount over /run
		}
		f.Env = []string{path}
	case o.Lower == nil:
		f.Env = []string{plainPath}
		certificates = certificates[1:]
	default:
		f.DefaultEnv = []string{plainPath}
		certificates = certificates[1:]
	}
	own := b.bundle()
	if b.has(own) {
		for _, name := range certificates {
			f.Env = append(f.Env, name+own)
		}
		if b.store.IsGuix() {
			f.Env = append(f.Env, "SSL_CERT_DIR=/"+rootfs.Parent(own))
		}
	} else if bundle := b.lowerBundle(); bundle != "" {
		for _, name := range certificates {
			f.DefaultEnv = append(f.DefaultEnv, name+bundle)
		}
	} else if len(o.Profiles) > 0 {
		b.note("no CA certificates: the profile has no %s", own)
	} else if !o.Bare {
		b.note("no CA certificates")
	}
	if b.store.IsGuix() {
		f.Env, err = b.addSearchPaths(f.Env, o.Profiles)
	}
	return err
}
