package startup

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/export-profile/export-profile/rootfs"
)

// checkCertificates checks the bundles that the environment names, and those at well-known paths.
func (c *checker) checkCertificates() error {
	seen := make(map[string]bool)
	for _, name := range []string{"SSL_CERT_FILE", "NIX_SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE"} {
		at := c.env[name]
		if at == "" || seen[at] {
			continue
		}
		seen[at] = true
		if e, err := c.stat(c.absolute(at)); err != nil || e.IsDir() || e.Other {
			c.errorf(Certificates, at, name+" names it, but there is no such file")
			continue
		}
		if err := c.checkBundle(c.absolute(at), seen); err != nil {
			return err
		}
	}
	for _, at := range rootfs.CertificateBundles {
		if e, err := c.stat(at); err == nil && e.IsRegular() && !e.Other {
			if err := c.checkBundle(at, seen); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) checkBundle(name string, seen map[string]bool) error {
	e, err := c.stat(name)
	if err != nil || seen["/ "+e.Path] {
		return nil
	}
	seen["/ "+e.Path] = true
	b, err := c.read(e, maxRead)
	if err != nil {
		return err
	}
	errs, warnings := examineBundle(b, c.options.Time)
	for _, r := range errs {
		c.errorf(Certificates, "/"+name, r)
	}
	for _, r := range warnings {
		c.warn(Certificates, "/"+name, r)
	}
	return nil
}

// examineBundle lists what is wrong with a file of PEM certificates at the given time.
// A block that cannot be decoded is an error, since OpenSSL then rejects the whole file.
func examineBundle(b []byte, now time.Time) (errs, warnings []string) {
	var total, wrong, expired, unready, strange int
	var firstWrong, firstExpired, firstStrange string
	begins := strings.Count(string(b), "-----BEGIN CERTIFICATE-----") + strings.Count(string(b), "-----BEGIN TRUSTED CERTIFICATE-----")
	for rest := b; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			continue
		}
		total++
		var raw asn1.RawValue
		behind, err := asn1.Unmarshal(block.Bytes, &raw)
		if err != nil || raw.Tag != asn1.TagSequence {
			if wrong++; wrong == 1 {
				firstWrong = fmt.Sprintf("certificate %d is not a certificate", total)
			}
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes[:len(block.Bytes)-len(behind)])
		switch {
		case err != nil:
			if strange++; strange == 1 {
				firstStrange = fmt.Sprintf("certificate %d: %v", total, err)
			}
		case now.IsZero():
		case now.After(cert.NotAfter):
			if expired++; expired == 1 {
				firstExpired = fmt.Sprintf("%s since %s", cert.Subject, cert.NotAfter.Format(time.DateOnly))
			}
		case now.Before(cert.NotBefore):
			unready++
		}
	}
	switch {
	case wrong > 1:
		errs = append(errs, fmt.Sprintf("%s, and neither are %d others", firstWrong, wrong-1))
	case wrong == 1:
		errs = append(errs, firstWrong)
	}
	switch {
	case begins > total:
		errs = append(errs, fmt.Sprintf("%d of %d certificates cannot be decoded", begins-total, begins))
	case total == 0:
		errs = append(errs, "contains no PEM certificate")
	case strange == total:
		errs = append(errs, "contains no readable certificate: "+firstStrange)
	case expired == total:
		errs = append(errs, fmt.Sprintf("all certificates are expired: %s", firstExpired))
	case expired+unready == total:
		errs = append(errs, "no certificate is valid yet")
	}
	if len(errs) > 0 {
		return errs, nil
	}
	if expired > 0 {
		warnings = append(warnings, fmt.Sprintf("%d of %d certificates are expired, the first %s", expired, total, firstExpired))
	}
	if strange > 0 {
		warnings = append(warnings, fmt.Sprintf("%d of %d certificates cannot be read by all programs: %s", strange, total, firstStrange))
	}
	return nil, warnings
}
