# The program, and functions that make images with it, for Nix without flakes:
#
#	nix-build .github/nix -A export-profile
#	(import ./export-profile/.github/nix { inherit pkgs; }).buildImage { name = "hello"; profile = pkgs.hello; }
{ pkgs ? import <nixpkgs> { }, revision ? null }:
let
  extended = pkgs.extend (import ./overlay.nix { inherit revision; });
in
{
  inherit (extended) export-profile;
  inherit (extended.exportProfile) buildImage buildRootfs;
}
