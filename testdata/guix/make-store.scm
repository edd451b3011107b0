;; Make a small store with the daemon: every way in which Guix adds a path.
(use-modules (guix store) (guix derivations) (guix profiles) (guix monads) (guix gexp)
             (guix search-paths) (guix grafts) (guix utils) (ice-9 rdelim)
             (gcrypt hash) (srfi srfi-1) (ice-9 match) (rnrs bytevectors))
;; The working directory has the inputs: greet-source with a program of elf.py, README, the link hello to the program,
;; and the directory empty; ca.pem of `openssl req -x509`; greet-1.0.tar.gz with a file NEWS.
(define here (getcwd))
(define (sh store name script inputs sources . more)
  (apply derivation store name "/bin/sh"
         (list "-e" "-c" (string-append "export PATH=/usr/bin:/bin\n" script))
         #:system "x86_64-linux" #:inputs (map (lambda (i) (apply (lambda (d . o) (derivation-input d (if (null? o) (list "out") o))) i)) inputs)
         #:sources sources more))
(define (out drv . o) (apply derivation->output-path drv o))
(%graft? #f)
(with-store store
  (set-build-options store #:use-substitutes? #f #:print-build-trace #f)
  (let* ((text  (add-text-to-store store "greeting.txt" "good day\n" '()))
         (src   (add-to-store store "greet-source" #t "sha256" (string-append here "/greet-source")))
         (tgz   (add-to-store store "greet-1.0.tar.gz" #f "sha256" (string-append here "/greet-1.0.tar.gz")))
         (pemhash (call-with-input-file (string-append here "/ca.pem") port-sha256))
         (pem   (derivation store "small-ca.pem" "/bin/sh"
                            (list "-c" (string-append "/bin/cat " here "/ca.pem > $out"))
                            #:system "x86_64-linux" #:hash pemhash #:hash-algo 'sha256))
         (bash  (sh store "bash-static-0.1"
                    (string-append "mkdir -p $out/bin $out/share/empty\ncp " src "/greet $out/bin/bash\nln -s bash $out/bin/sh\n"
                                   "echo \"$out is the shell\" > $out/share/shell\n")
                    '() (list src)))
         (lib   (sh store "libgreet-1.0"
                    (string-append "mkdir -p $out/lib\nprintf 'not a library; prefix %s, shell %s\\n' $out " (out bash)
                                   " > $out/lib/libgreet.so.1.0\nln -s libgreet.so.1.0 $out/lib/libgreet.so.1\nln -s $out/lib/libgreet.so.1 $out/lib/libgreet.so\n")
                    `((,bash)) '()))
         (greet (sh store "greet-1.0"
                    (string-append "mkdir -p $out/bin $out/lib $doc/share/doc\n"
                      "printf '#!%s/bin/bash\\n# reads %s, needs %s, see %s\\n' " (out bash) " " text " " (out lib) " $doc > $out/bin/greet\n"
                      "chmod 755 $out/bin/greet\nln -s " (out lib) "/lib/libgreet.so.1 $out/lib/libgreet.so.1\n"
                      "printf 'greet was made from %s\\n' " tgz " > $doc/share/doc/greet.txt\n")
                    `((,bash) (,lib)) (list text tgz) #:outputs '("doc" "out")))
         (bye   (sh store "farewell+extras-2.1"
                    (string-append "mkdir -p $out/bin $out/etc/farewell\nprintf '#!%s/bin/sh\\n# %s\\n' " (out bash) " $out > $out/bin/farewell\n"
                      "chmod 755 $out/bin/farewell\necho 'polite = yes' > $out/etc/farewell/farewell.conf\n"
                      "printf 'caf\\303\\251\\n' > \"$out/etc/farewell/$(printf 'caf\\303\\251')\"\n")
                    `((,bash)) '()))
         (certs (sh store "small-certs-1"
                    (string-append "mkdir -p $out/etc/ssl/certs\ncp " (out pem) " $out/etc/ssl/certs/small-ca.pem\nln -s " (out pem) " $out/etc/ssl/certs/0123abcd.0\n"
                      "cp " (out pem) " $out/etc/ssl/certs/ca-certificates.crt\n")
                    `((,pem)) '()))
         (guile (sh store "guile-for-build" "mkdir -p $out/bin\nln -s /usr/bin/guile $out/bin/guile\n" '() '())))
    (build-derivations store (list pem bash lib greet bye certs guile))
    (let* ((entry (lambda* (name version item #:optional (output "out") (paths '()))
                    (manifest-entry (name name) (version version) (output output) (item item) (search-paths paths))))
           (ssl-dir (search-path-specification (variable "SSL_CERT_DIR") (separator #f) (files '("etc/ssl/certs"))))
           (ssl-file (search-path-specification (variable "SSL_CERT_FILE") (file-type 'regular) (separator #f) (files '("etc/ssl/certs/ca-certificates.crt"))))
           (m1 (manifest (list (entry "greet" "1.0" (out greet "out")) (entry "small-certs" "1" (out certs) "out" (list ssl-dir ssl-file)))))
           (m2 (manifest (list (entry "greet" "1.0" (out greet "out"))
                               (entry "greet" "1.0" (out greet "doc") "doc")
                               (entry "farewell+extras" "2.1" (out bye) "out"
                                      (list (search-path-specification (variable "FAREWELL_PATH") (files '("etc/farewell")))))
                               (entry "small-certs" "1" (out certs) "out" (list ssl-dir ssl-file)))))
           (make (lambda (m)
                   (run-with-store store
                     (mbegin %store-monad
                       (profile-derivation m #:hooks '() #:locales? #f #:system "x86_64-linux"))
                     #:guile-for-build guile #:system "x86_64-linux")))
           (profile "/var/guix/profiles/per-user/root/guix-profile"))
      (for-each (lambda (m n)
                  (let ((drv (make m)))
                    (build-derivations store (list drv))
                    (let ((link (generation-file-name profile n)))
                      (switch-symlinks link (out drv))
                      (switch-symlinks profile (basename link)))))
                (list m1 m2) '(1 2)))))
