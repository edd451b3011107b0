package main

import "strings"

// hint adds to an error what to do about a missing statement, or about signatures that it lacks.
func (v *statementVerifier) hint(err error, word string) error {
	if v == nil {
		return err
	}
	command := "export-profile attest --key KEY "
	if v.flags.file != "" && v.flags.file != standardName {
		command += "--attestation-file " + shellWord(v.flags.file) + " "
	}
	switch {
	case v.absent != nil && v.absent.Forged:
		if v.remote && v.flags.file == "" {
			return withHint(err, "an attestation was changed after it was signed: ask the holder of the key to attach it again")
		}
		return withHint(err, "an attestation was changed after it was signed: get its file again from where it was made")
	case v.absent != nil && v.absent.Others:
		return withHint(err, "is the right key given? If it is, its holder makes the statement: %s%s", command, word)
	case v.absent != nil:
		return withHint(err, "%s", strings.Join(append(v.where(), "the holder of the secret key makes one: "+command+word), "; "))
	case len(v.unsigned) > 0:
		command += "--from https://cache.example.com " + word
		if v.remote && v.flags.file == "" {
			return withHint(err, "the holder of the key makes a statement with signatures, from a source that has them: %s; "+
				"the one without stays wrong until the registry deletes it: %s", command, v.unsigned[0])
		}
		return withHint(err, "the holder of the key makes a statement with signatures, from a source that has them: %s", command)
	}
	return err
}

// where says where a statement belongs, and why none may be there.
func (v *statementVerifier) where() (hints []string) {
	switch {
	case v.flags.file != "":
	case v.remote:
		hints = append(hints, "skopeo copies no attestations: oras cp -r copies an image with them")
	case v.looked == "":
		hints = append(hints, "--attestation-file names the file with the attestations")
	default:
		hints = append(hints, "it belongs in "+v.looked+"; --attestation-file names another file")
		if v.absent.Empty() {
			hints = append(hints, "skopeo copies no attestations: copy the file, too, or verify the original image")
		}
	}
	return hints
}
