package rootfs

// CertificateBundles lists the files in which distributions keep the certificates of all authorities,
// and in which programs look for them.
var CertificateBundles = []string{
	"etc/ssl/certs/ca-bundle.crt",       // Nix's cacert
	"etc/ssl/certs/ca-certificates.crt", // Debian
	"etc/pki/tls/certs/ca-bundle.crt",   // Fedora
	"etc/ssl/ca-bundle.pem",             // SUSE
	"etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"etc/ssl/cert.pem", // Alpine
}
