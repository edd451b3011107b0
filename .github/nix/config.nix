# config turns the config of an OCI or Docker image, as dockerTools takes it, into keys of an image file (image --file).
{ lib }:
config:
let
  known = {
    Cmd = words: { cmd = words; };
    Entrypoint = words: { entrypoint = words; };
    Env = list: { env = list; };
    ExposedPorts = set: { expose = builtins.attrNames set; };
    Volumes = set: { volume = builtins.attrNames set; };
    Labels = set: { label = set; };
    StopSignal = signal: { stop-signal = signal; };
    User = user: { inherit user; };
    WorkingDir = directory: { workdir = directory; };
    Healthcheck = healthcheck;
  };

  # Docker counts times in nanoseconds.
  healthcheck = check:
    let
      time = name: key: lib.optionalAttrs (check ? ${name}) { ${key} = "${toString check.${name}}ns"; };
      kind = builtins.head check.Test;
      rest = builtins.tail check.Test;
      unknown = builtins.attrNames (builtins.removeAttrs check [ "Test" "Interval" "Timeout" "StartPeriod" "Retries" ]);
    in
    if unknown != [ ] then throw "config.Healthcheck.${builtins.head unknown} has no flag" else
    {
      healthcheck =
        if kind == "NONE" then "none"
        else if kind == "CMD" then rest
        else if kind == "CMD-SHELL" then builtins.head rest
        else throw "config.Healthcheck.Test begins with ${kind}: want CMD, CMD-SHELL or NONE";
    }
    // time "Interval" "healthcheck-interval"
    // time "Timeout" "healthcheck-timeout"
    // time "StartPeriod" "healthcheck-start-period"
    // lib.optionalAttrs (check ? Retries) { healthcheck-retries = check.Retries; };

  convert = name:
    if config.${name} == null || config.${name} == [ ] || config.${name} == { } || config.${name} == "" then { }
    else (known.${name} or (throw "config.${name} has no flag: want ${lib.concatStringsSep ", " (builtins.attrNames known)}")) config.${name};
in
builtins.foldl' (settings: name: settings // convert name) { } (builtins.attrNames config)
