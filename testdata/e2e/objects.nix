# Store objects unlike those of Debian packages.
# For the sleep at the end of builders see debstore-builder.sh.
let
  make = name: script: derivation {
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/bash";
    args = [ "-c" ("set -e; export PATH=/usr/bin:/bin; mkdir $out; cd $out; " + script + " sleep 0.3 &") ];
  };
in rec {
  shared = make "shared" ''
    mkdir -p etc/shared/deep share
    echo one > etc/shared/one
    echo two > etc/shared/deep/two
    ln -s ../one etc/shared/deep/one
    ln -s nowhere etc/shared/dangling
  '';

  # Rare cases for the script's `cp -R -Ls`: links in all directions.
  odd = make "odd" ''
    mkdir -p bin etc/empty share/doc
    ln -s /bin/bash bin/outside
    ln -s ${shared}/etc/shared etc/shared
    ln -s shared/deep etc/deep
    ln -s nowhere etc/dangling
    ln -s round etc/round
    ln -s . etc/here
    ln -s ../share etc/share
    ln -s .. share/doc/above
    ln -s ${shared}/nowhere share/nowhere
    ln -s ${shared} share/shared
    echo x > "etc/a b"
    echo x > 'etc/quote"$(x)'
    echo x > etc/.hidden
    echo x > share/executable
    chmod +x share/executable
  '';

  # A program for another machine, according to its header.
  arm = make "arm" ''
    mkdir bin
    {
      printf '\177ELF\2\1\1'; head -c 9 /dev/zero
      printf '\2\0\267\0\1\0\0\0'; head -c 28 /dev/zero
      printf '\100\0\70\0\0\0\100\0\0\0\0\0'
    } > bin/hello
    chmod +x bin/hello
  '';
}
