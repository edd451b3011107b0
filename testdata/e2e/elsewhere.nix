# A small store for another store directory than /nix/store: a static program with references to a content-addressed
# store path and to one that refers to itself. For the sleep at the end of builders see debstore-builder.sh.
{ greeting, certificates, revision }:
let
  make = name: script: derivation {
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/bash";
    args = [ "-c" ("set -e; export PATH=/usr/bin:/bin; mkdir $out; cd $out; " + script + " sleep 0.3 &") ];
  };
  words = make "words-1.0" ''
    mkdir share etc
    echo "$out begins with ${builtins.storePath greeting}" > share/facts
    ln -s ${builtins.storePath greeting} share/greeting
    ln -s $out/share etc/words
  '';
in [
  (make "greet-1.${revision}" ''
    mkdir -p bin share
    ln -s ${words}/share share/words
    echo 'int main(void) {
      char b[100]; int fd = open("'$out'/share/words/greeting", 0); write(1, b, read(fd, b, sizeof b)); return fd < 0;
    }' | gcc -w -Os -s -static -include fcntl.h -include unistd.h -x c -o bin/greet -
  '')
  (make "certificates-2.0" ''
    mkdir -p etc/ssl/certs
    cp ${builtins.path { name = "bundle"; path = certificates; }} etc/ssl/certs/ca-bundle.crt
  '')
]
