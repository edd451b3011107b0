# Write a static x86-64 ELF program that prints one line and exits with status 0.
import struct,sys
msg=b"hello from a small store\n"
base=0x400000; hdr=64+56
code=lambda addr: (b"\xb8\x01\x00\x00\x00\xbf\x01\x00\x00\x00\x48\xbe"+struct.pack("<Q",addr)+b"\xba"+struct.pack("<I",len(msg))+b"\x0f\x05\xb8\x3c\x00\x00\x00\x31\xff\x0f\x05")
n=len(code(0)); c=code(base+hdr+n)
size=hdr+n+len(msg)
out=b"\x7fELF\x02\x01\x01"+b"\0"*9+struct.pack("<HHIQQQIHHHHHH",2,62,1,base+hdr,64,0,0,64,56,1,0,0,0)
out+=struct.pack("<IIQQQQQQ",1,5,0,base,base,size,size,0x1000)+c+msg
open(sys.argv[1],"wb").write(out)
