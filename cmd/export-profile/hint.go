package main

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/registry"
	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/exportstore"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// hint returns what to type after an error, or "".
// Only this package gives hints: the others do not know the command line.
func hint(err error) string {
	var (
		usage     *usageError
		hinted    *hintedError
		noProfile *noProfileError
		ambiguous *profile.AmbiguousError
		closure   *profile.ClosureError
		format    *exportstore.FormatError
		pushing   *registry.Error
		hash      *nar.HashError
		cert      *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		spool     *staging.SpoolError
	)
	switch {
	case errors.As(err, &usage):
		return usage.hint
	case errors.As(err, &hinted):
		return hinted.hint
	case errors.As(err, &noProfile):
		return cmp.Or(noProfile.hint, "name one with --profile, or a store with --from; `export-profile doctor` says what is here")
	case errors.As(err, &ambiguous):
		return "choose with --profile " + likelyProfile(ambiguous.Candidates).Base()
	case errors.Is(err, profile.ErrEmpty):
		return "it was made without a profile; make an export stream with: " + makeStream
	case errors.As(err, &closure) && len(closure.Missing)+len(closure.Lost) > 0:
		return addSource
	case errors.As(err, &hash) && hash.AppleDouble != "":
		return "write the tar again with COPYFILE_DISABLE=1 tar …, or remove the files whose names begin with ._"
	case hintKey(err) != "":
		return hintKey(err)
	case hintRead(err) != "":
		return hintRead(err)
	case errors.Is(err, profile.ErrUntrusted):
		return "trust the signer's key with --trusted-public-key, or, if you trust the server itself, use --no-check-sigs"
	case errors.As(err, &pushing) && hintRegistry(pushing) != "":
		return hintRegistry(pushing)
	case errors.As(err, &pushing) && errors.As(err, &cert):
		return "name the file of the certificate's authority with --registry-ca, or accept any with --tls-verify=false"
	case errors.As(err, &pushing) && errors.Is(err, http.ErrSchemeMismatch):
		return "--tls-verify=false allows plain HTTP"
	case hintReach(err) != "":
		return hintReach(err)
	case errors.As(err, &cert):
		return "name the file of the certificate's authority in SSL_CERT_FILE"
	case errors.As(err, &record):
		return "the server does not speak TLS: use http:// in place of https://"
	case errors.As(err, &format):
		return "make an export stream with: " + makeStream
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early, as if its writer was stopped: write it again"
	case errors.Is(err, localstore.ErrNoDatabase):
		return "without a store on this machine, name one with --from; `export-profile doctor` says how to make one elsewhere"
	case errors.Is(err, syscall.ENOSPC):
		return "free some space, or choose another place (--cache for temporary files)"
	case errors.As(err, &spool):
		return "name a writable directory for large temporary files with --cache"
	case errors.Is(err, ocilayout.ErrOtherResult):
		return "export-profile cache verify removes what is damaged; --no-cache makes the image without the cache"
	case errors.Is(err, rootfs.ErrDirExists):
		return "choose another directory, or remove this one"
	case errors.Is(err, fs.ErrPermission):
		return hintPermission(err)
	}
	return ""
}

// hintedError is an error with a hint.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

// withHint adds a hint to an error; nil stays nil.
func withHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hintedError{err, fmt.Sprintf(format, args...)}
}

// cutQuoted shortens quoted text in an error to half a kilobyte, since paths can be much longer.
func cutQuoted(s string) string {
	const most = 512
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, `"`)
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		end, cut := 0, 0
		for end < len(rest) && rest[end] != '"' && rest[end] != '\n' {
			if end <= most && utf8.RuneStart(rest[end]) {
				cut = end
			}
			if rest[end] == '\\' && end+1 < len(rest) {
				end++
			}
			end++
		}
		b.WriteByte('"')
		if end > most {
			b.WriteString(rest[:cut] + "…")
		} else {
			b.WriteString(rest[:end])
		}
		if s = rest[end:]; strings.HasPrefix(s, `"`) {
			b.WriteByte('"')
			s = s[1:]
		}
	}
}
