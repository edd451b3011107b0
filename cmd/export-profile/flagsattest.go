package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/export-profile/export-profile/profile/attestation"
)

// attestFlags name the key that signs attestations, and their file.
type attestFlags struct {
	keyFlag      string // "--attest" or "--key"
	finished     bool   // the image is there already
	keyFile      string
	passwordFile string
	file         string
}

// flags adds --attest and what belongs to it.
func (f *attestFlags) flags(fs *pflag.FlagSet, what string) {
	f.keyFlag = "--attest"
	fs.StringVar(&f.keyFile, "attest", "", "list "+what+" in a statement that is signed with the secret key in `FILE` (- is standard input)")
	f.fileFlags(fs)
}

func (f *attestFlags) fileFlags(fs *pflag.FlagSet) {
	fs.StringVar(&f.passwordFile, "key-password-file", "", "read the password of an encrypted key from `FILE`")
	fs.StringVar(&f.file, "attestation-file", "", "write the attestation to `FILE`, also if the image is in a registry "+
		"(default: DIR-TAG.intoto.jsonl or ARCHIVE.intoto.jsonl; in a registry it is attached to the image)")
}

// inputs lists the files that are read, so that no result replaces them.
func (f *attestFlags) inputs() (all []resultFile) {
	for _, in := range []resultFile{{f.keyFlag + " " + f.keyFile, f.keyFile}, {"--key-password-file " + f.passwordFile, f.passwordFile}} {
		if in.file != standardName {
			all = append(all, in)
		}
	}
	return all
}

// reader is something that reads standard input if it is given.
type reader struct {
	flag  string // with its value
	reads bool
}

// key reads and checks the secret key. It returns nil if no key is named. Others may not read standard input, too.
func (f *attestFlags) key(stdin *os.File, others ...reader) (_ *attestation.SecretKey, err error) {
	defer func() { err = inChapter("attestations", err) }()
	switch {
	case f.keyFile == "" && f.passwordFile != "":
		return nil, usagef("", "--key-password-file needs %s", f.keyFlag)
	case f.keyFile == "" && f.file != "":
		return nil, usagef("", "--attestation-file needs %s", f.keyFlag)
	case f.keyFile == "":
		return nil, nil
	case isKeyText(f.keyFile) && !exists(f.keyFile):
		return nil, usagef(fmt.Sprintf("write the key to a file, or to standard input: %s - < key.pem", f.keyFlag),
			"%s: want the name of a file, not the key itself", f.keyFlag)
	}
	if f.keyFile == standardName {
		for _, o := range others {
			if o.reads {
				return nil, usagef("", "%s - and %s both read standard input", f.keyFlag, o.flag)
			}
		}
	}
	if f.passwordFile == standardName {
		return nil, usagef("as in --key-password-file password.txt", "--key-password-file: want a file, not standard input")
	}
	password, err := f.password()
	if err != nil {
		return nil, err
	}
	text, err := f.keyText(stdin)
	if err != nil {
		return nil, err
	}
	key, err := attestation.ParseSecretKey(text, password)
	if err != nil {
		return nil, fmt.Errorf("read key %q: %w", f.keyFile, err)
	}
	return key, nil
}

// isKeyText says whether a word is probably a key and not the name of its file. Errors must not quote it.
func isKeyText(word string) bool {
	return strings.Contains(word, "PRIVATE KEY-----") || regexp.MustCompile(`^[A-Za-z0-9+/]{43}=|:[A-Za-z0-9+/]{43}`).MatchString(word)
}

// keyText reads the file of the key.
func (f *attestFlags) keyText(stdin *os.File) ([]byte, error) {
	const makeKey = "make a key once: openssl genpkey -algorithm ed25519 -out key.pem && openssl pkey -in key.pem -pubout -out key.pub"
	in := stdin
	switch {
	case f.keyFile != standardName:
		file, err := os.Open(f.keyFile)
		if err != nil {
			return nil, hintMissing(fmt.Errorf("read key: %w", err), makeKey)
		}
		defer file.Close()
		in = file
	case stdin == nil:
		return nil, fmt.Errorf("read key %q: there is no standard input", f.keyFile)
	case term.IsTerminal(int(stdin.Fd())):
		return nil, usagef(fmt.Sprintf("as in %s - < key.pem", f.keyFlag), "%s -: standard input is a terminal", f.keyFlag)
	}
	text, err := io.ReadAll(io.LimitReader(in, attestation.MaxKeys+1))
	if err != nil {
		return nil, fmt.Errorf("read key %q: %w", f.keyFile, err)
	}
	return text, nil
}

// password reads the file of the password. The newline at its end does not count. Without a file, the password is nil.
func (f *attestFlags) password() ([]byte, error) {
	if f.passwordFile == "" {
		return nil, nil
	}
	const most = 1 << 16
	file, err := os.Open(f.passwordFile)
	if errors.Is(err, fs.ErrNotExist) { // the word may be the password itself, so it is not quoted
		return nil, usagef("as in --key-password-file password.txt", "--key-password-file: there is no such file")
	}
	if err != nil {
		return nil, fmt.Errorf("read password of the key: %w", err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && len(b) > most {
		err = fmt.Errorf("it has more than %d bytes", most)
	}
	if err != nil {
		return nil, fmt.Errorf("read password of the key %q: %w", f.passwordFile, err)
	}
	return append([]byte{}, bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))...), nil
}
