package startup

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// authority makes a certificate that is valid for one day.
func authority(t *testing.T, from time.Time) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Authority"},
		NotBefore: from, NotAfter: from.AddDate(0, 0, 1), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestExamineBundle has a row for each fault of a bundle.
func TestExamineBundle(t *testing.T) {
	now := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	good, old, coming := authority(t, now.AddDate(0, 0, -1)), authority(t, now.AddDate(0, 0, -9)), authority(t, now.AddDate(0, 0, 9))
	odd := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{0x30, 0}}))
	none := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("none")}))
	for name, test := range map[string]struct {
		bundle    string
		err, warn string
		at        time.Time
	}{
		"good":                 {good, "", "", now},
		"with comments":        {"# Authority\n" + good + "\nmore\n" + good, "", "", now},
		"expired":              {old + old, "all certificates are expired: CN=Authority since 2024-04-23", "", now},
		"one expired":          {good + old, "", "1 of 2 certificates are expired", now},
		"expired, but no time": {old, "", "", time.Time{}},
		"not valid yet":        {coming, "no certificate is valid yet", "", now},
		"empty":                {"", "contains no PEM certificate", "", now},
		"a key":                {"-----BEGIN X-----\nAAAA\n-----END X-----\n", "contains no PEM certificate", "", now},
		"cut":                  {good + good[:len(good)-40], "1 of 2 certificates cannot be decoded", "", now},
		"not base 64":          {good + strings.Replace(good, "MII", "M!I", 1), "1 of 2 certificates cannot be decoded", "", now},
		"no certificate":       {good + none, "certificate 2 is not a certificate", "", now},
		"many of them":         {good + strings.Repeat(none, 100_000), "certificate 2 is not a certificate, and neither are 99999 others", "", now},
		"odd":                  {good + odd, "", "1 of 2 certificates cannot be read by all programs", now},
		"odd alone":            {odd, "contains no readable certificate", "", now},
	} {
		errs, warnings := examineBundle([]byte(test.bundle), test.at)
		for _, list := range []struct {
			what string
			got  []string
			want string
		}{{"errors", errs, test.err}, {"warnings", warnings, test.warn}} {
			if all := strings.Join(list.got, "\n"); list.want == "" && all != "" || !strings.Contains(all, list.want) {
				t.Errorf("%s: examineBundle gives the %s %q; want %q", name, list.what, all, list.want)
			}
		}
	}
}

// TestMissingBundle checks that a variable which names a missing file is an error.
func TestMissingBundle(t *testing.T) {
	r := fileSet{"bin/p": elfFile{}}.check(t, Config{Env: []string{"PATH=/bin", "SSL_CERT_FILE=/etc/none.crt"}})
	if len(r.Errors) != 1 || r.Errors[0] != (Problem{"/etc/none.crt", Certificates, "SSL_CERT_FILE names it, but there is no such file"}) {
		t.Errorf("Check with a missing bundle gives the errors %q; want one about /etc/none.crt", r.Errors)
	}
}
