# The program as a package of nixpkgs.
{ lib, stdenv, buildGoModule, installShellFiles, revision ? null }:
let
  top = ../..;
  # The sources of Go packages and their tests: buildGoModule also vendors what the tests import.
  directories = [ "cmd" "ocilayout" "profile" "rootfs" ];
  files = [ "LICENSE" "go.mod" "go.sum" ];

  # The top entry of the changelog names a release, as in "## v1.2.3 (2027-01-31)", or is called Unreleased.
  entry = builtins.head (builtins.filter (lib.hasPrefix "## ")
    (lib.splitString "\n" (builtins.readFile ../CHANGELOG.md)));
  released = builtins.head (lib.splitString " " (lib.removePrefix "## " entry));
  version = if lib.hasPrefix "v" released then released else revision;
in
buildGoModule {
  pname = "export-profile";
  version = if version == null then "unreleased" else lib.removePrefix "v" version;

  src = builtins.path {
    name = "export-profile-source";
    path = top;
    filter = path: type:
      let
        relative = lib.removePrefix "${toString top}/" path;
        inside = builtins.head (lib.splitString "/" relative);
      in
      builtins.elem relative files || builtins.elem inside directories && baseNameOf path != "node_modules";
  };
  # A test compares it with go.mod and go.sum, and says how to update it.
  vendorHash = "sha256-r4x0Og/LHm+sCoa6IL9HG5rd6eAb9evYJS4hWoLXh10=";

  subPackages = [ "cmd/export-profile" ];
  env.CGO_ENABLED = 0;
  ldflags = [ "-s" "-w" ] ++ lib.optional (version != null) "-X main.packaged=${version}";
  doCheck = false; # CI runs the tests, with real Nix and real container tools

  nativeBuildInputs = [ installShellFiles ];
  postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    for shell in bash zsh fish; do
      $out/bin/export-profile completion $shell > export-profile.$shell
    done
    installShellCompletion --cmd export-profile --bash export-profile.bash --fish export-profile.fish --zsh export-profile.zsh
    $out/bin/export-profile help --man > export-profile.1
    installManPage export-profile.1
  '';

  meta = {
    description = "Turns a profile of Nix or Guix into a root filesystem or an OCI image";
    homepage = "https://github.com/export-profile/export-profile";
    license = lib.licenses.asl20;
    mainProgram = "export-profile";
    platforms = lib.platforms.linux;
  };
}
