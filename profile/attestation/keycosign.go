package attestation

import (
	"errors"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
)

// ErrPassword means that a secret key is encrypted, and that no password is given.
var ErrPassword = errors.New("it is encrypted, and no password is given")

// decrypt decrypts the content of a key of cosign, which is PKCS #8.
// The library accepts only three settings of scrypt. The largest takes 128 MiB.
func decrypt(content, password []byte) ([]byte, error) {
	if password == nil {
		return nil, ErrPassword
	}
	der, err := encrypted.Decrypt(content, password)
	if err != nil { // the error may quote the file
		return nil, errors.New("it cannot be decrypted: the password is wrong, or the key is damaged")
	}
	return der, nil
}
