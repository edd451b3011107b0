# Images and a root filesystem that TestNix builds. The manual's flake.nix has another image.
{ nixpkgs, source, registry ? "registry.example.com" }:
let
  pkgs = import nixpkgs { };
  exportProfile = import (source + "/.github/nix") { inherit pkgs; };
  inherit (exportProfile) buildImage buildRootfs;
  files = pkgs.runCommand "files+1" { } "mkdir -p $out/etc; echo ${pkgs.coreutils}/bin/wc -l > $out/etc/program; echo $out > $out/etc/self";
  web = buildImage { name = "web"; tag = "v1"; profile = [ pkgs.curl pkgs.cacert ]; };
in
{
  inherit web;
  inherit (exportProfile) export-profile;

  onTop = buildImage {
    name = "top";
    fromImage = web;
    fromImageTag = "v1";
    profile = pkgs.bash;
    maxLayers = 40;
    created = "2027-01-31T12:00:00Z";
    format = "oci-archive";
    sbom = "spdx";
  };
  onArchive = buildImage { name = "archive"; fromImage = (buildImage { name = "base"; format = "oci-archive"; profile = pkgs.bash; }); profile = pkgs.curl; };

  # All packages are mentioned, by the config, an added file and a link. The file refers to itself, too.
  mentioned = buildImage {
    name = "Mentioned";
    config = {
      Entrypoint = [ "${pkgs.bash}/bin/bash" "-c" ];
      Cmd = [ "$(< /etc/program) < /certificates/ca-bundle.crt" ];
      Env = [ "A=1" "B=c d" ];
      ExposedPorts = { "80/tcp" = { }; "53/udp" = { }; };
      Volumes."/data" = { };
      Labels.key = "a value";
      StopSignal = "SIGINT";
      User = "app:1000";
      WorkingDir = "/srv";
      Healthcheck = { Test = [ "CMD" "true" ]; Interval = 1500000000; Timeout = 2000000000; StartPeriod = 3000000000; Retries = 4; };
    };
    changes = [
      { add = "${files}:/"; }
      { add = "${files}/etc/program:/srv/copy:0600:1000"; }
      { symlink = "${pkgs.cacert}/etc/ssl/certs:/certificates"; }
      { layer = true; }
      { mkdir = "/data:0750:1000"; }
    ];
    flags = { owner = [ "/etc/program=1000:8" ]; mode = "/etc/program=0400"; };
  };

  files = buildImage { name = "files"; changes = [ { add = "${./images.nix}:/srv/images.nix"; } ]; flags.bare = true; };

  pushed = buildImage { name = "${registry}/team/pushed"; tag = "v1"; profile = pkgs.bash; };

  rootfs = buildRootfs {
    name = "root";
    profile = [ pkgs.bash ];
    changes = [ { mkdir = "/data:0750:101"; } ];
    flags = { user = "app:1000"; add-group = [ "a:5000" "b:5001" ]; with-nix-db = true; };
  };

  mistakes = {
    format = buildImage { name = "x"; format = "docker"; };
    healthcheck = buildImage { name = "x"; config.Healthcheck = { Test = [ "NONE" ]; StartInterval = 1; }; };
    reserved = buildImage { name = "x"; flags.base = "oci:x"; };
    config = buildImage { name = "x"; config.Memory = 1; };
    flag = buildImage { name = "x"; profile = pkgs.bash; flags.compresion = "zstd"; };
  };
}
