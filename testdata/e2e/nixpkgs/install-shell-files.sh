# What package.nix uses of nixpkgs' installShellFiles.
installManPage() {
	local page
	for page; do
		mkdir -p "$out/share/man/man${page##*.}"
		cp "$page" "$out/share/man/man${page##*.}/"
	done
}
installShellCompletion() {
	local name
	[ "$1" = --cmd ] || return 1
	name=$2
	shift 2
	mkdir -p "$out"/share/{bash-completion/completions,fish/vendor_completions.d,zsh/site-functions}
	while [ $# -gt 0 ]; do
		case $1 in
		--bash) cp "$2" "$out/share/bash-completion/completions/$name.bash" ;;
		--fish) cp "$2" "$out/share/fish/vendor_completions.d/$name.fish" ;;
		--zsh) cp "$2" "$out/share/zsh/site-functions/_$name" ;;
		*) return 1 ;;
		esac
		shift 2
	done
}
