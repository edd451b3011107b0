// Package guix reads public keys and signatures of Guix, which are s-expressions of libgcrypt, and verifies the signatures.
//
// Guix signs with one of two kinds of keys (guix/pki.scm and guix/scripts/archive.scm of 2022, and libgcrypt 1.10):
//
//   - A key on the curve Ed25519, which `guix archive --generate-key` makes. Its signatures are not those of RFC 8032, though:
//     they are ECDSA on that curve, with the nonce of RFC 6979. Guix signs nothing with a key that has the flag eddsa.
//   - An RSA key: PKCS #1 v1.5 with SHA-256.
//
// [ParseKeys] accepts RSA keys of 2048 to 8192 bits, and refuses all other kinds by name.
//
// A signature contains the hash that it is about and the key that made it. Its reader has to compare the hash with its own,
// and the key with those that the user trusts: [Signature.Verified] says only that the three belong together.
package guix
