# A stand-in for nixpkgs, with the few functions that .github/nix uses. TestNix adds machine.nix.
{
  outputs = { self }: {
    lib = import ./lib.nix;
    legacyPackages = self.lib.genAttrs [ "x86_64-linux" "aarch64-linux" "riscv64-linux" ] (system: import ./. { inherit system; });
  };
}
