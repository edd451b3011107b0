# The program, and functions that make images with it, for Nix with flakes. default.nix has the same without flakes.
{
  description = "Turns packages and everything they refer to into an OCI image or a root filesystem";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      # Go names the version of a commit without a tag in the same way. Changed files have no such name.
      revision = if self ? rev then "v0.0.0-${self.lastModifiedDate}-${builtins.substring 0 12 self.rev}" else null;
      each = make: nixpkgs.lib.genAttrs [ "x86_64-linux" "aarch64-linux" "riscv64-linux" ]
        (system: make (nixpkgs.legacyPackages.${system}.extend self.overlays.default));
    in
    {
      overlays.default = import ./overlay.nix { inherit revision; };

      packages = each (pkgs: { default = pkgs.export-profile; inherit (pkgs) export-profile; });

      apps = each (pkgs: {
        default = { type = "app"; program = "${pkgs.export-profile}/bin/export-profile"; };
      });

      # lib.x86_64-linux.buildImage { name = "hello"; profile = nixpkgs.legacyPackages.x86_64-linux.hello; }
      lib = each (pkgs: { inherit (pkgs.exportProfile) buildImage buildRootfs; });
    };
}
