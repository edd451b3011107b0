# This script builds the derivations of debstore.py: it makes a store object from one Debian package.
# Nix sets $deb (the package), $rev (its revision, or nothing), $deps (the store objects of its dependencies) and $out.
set -euo pipefail
export PATH=/usr/bin:/bin:/usr/sbin:/sbin
arch=$(uname -m)-linux-gnu

# Unpack the files into flat directories, as in packages of Nix.
unpacked=$(mktemp -d)
dpkg-deb -x "$deb" "$unpacked"
mkdir "$out"
for top in "$unpacked" "$unpacked/usr"; do
	for dir in bin sbin lib lib64 share etc libexec; do
		if [ -d "$top/$dir" ]; then
			mkdir -p "$out/$dir"
			cp -a "$top/$dir/." "$out/$dir/"
		fi
	done
done
rm -rf "$unpacked"
chmod -R u+w "$out"
if [ -d "$out/lib/$arch" ]; then
	cp -a "$out/lib/$arch/." "$out/lib/"
	rm -r "${out:?}/lib/$arch"
fi
if [ -d "$out/sbin" ]; then
	mkdir -p "$out/bin"
	cp -an "$out/sbin/." "$out/bin/"
	rm -r "$out/sbin"
	ln -s bin "$out/sbin"
fi

# Bundle the certificates, which Debian does when it configures the package.
if [ -d "$out/share/ca-certificates" ]; then
	mkdir -p "$out/etc/ssl/certs"
	find "$out/share/ca-certificates" -name '*.crt' | LC_ALL=C sort | xargs cat >"$out/etc/ssl/certs/ca-bundle.crt"
fi

# Make links into other packages lead to their store objects.
find "$out" -xtype l | while read -r link; do
	to=$(readlink "$link")
	case $to in
	/usr/*) to=${to#/usr/} ;;
	/*) to=${to#/} ;;
	*) to=$(realpath -ms --relative-to="$out" "$(dirname "$link")/$to") ;;
	esac
	to=${to/lib\/$arch/lib}
	for object in "$out" $deps; do
		if [ -e "$object/$to" ]; then
			ln -sfn "$object/$to" "$link"
			break
		fi
	done
done

# Make programs and libraries find the dynamic linker and the libraries of their dependencies.
# Leave libc6 itself unchanged.
if [ -z "$(find "$out/lib" -maxdepth 1 -name 'ld-linux-*' 2>/dev/null)" ]; then
	rpath=$out/lib
	linker=
	for object in $deps; do
		rpath=$rpath:$object/lib
		for file in "$object"/lib/ld-linux-*; do
			if [ -e "$file" ]; then linker=$file; fi
		done
	done
	find "$out" -type f -size +64c | while read -r file; do
		if [ "$(head -c4 "$file" | tail -c3)" != ELF ]; then continue; fi
		if ! patchelf --set-rpath "$rpath" "$file" 2>/dev/null; then continue; fi
		if patchelf --print-interpreter "$file" >/dev/null 2>&1; then patchelf --set-interpreter "$linker" "$file"; fi
	done
fi

# Make scripts use the interpreters of their dependencies.
find "$out" -type f -perm /111 | while read -r file; do
	if [ "$(head -c2 "$file" | tr -d '\0')" != '#!' ]; then continue; fi
	interpreter=$(head -n1 "$file" | sed 's/^#! *//; s/ .*//')
	for object in "$out" $deps; do
		if [ -x "$object/bin/${interpreter##*/}" ]; then
			sed -i "1s|^#! *$interpreter|#!$object/bin/${interpreter##*/}|" "$file"
			break
		fi
	done
done

if [ -n "$rev" ]; then
	mkdir -p "$out/nix-support"
	echo "$rev" >"$out/nix-support/revision"
fi

# Nix 2.8 kills a builder as soon as all its processes have closed their output. On a busy machine
# that happens before the builder exits, and the build fails. So a child keeps the output open a little longer.
sleep 0.3 &
