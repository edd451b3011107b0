// Builds ../bundle.js and ../licences.txt from src and the packages that package-lock.json pins:
//
//	npm ci && npm run build
//
// The Go program embeds both. The same sources give the same bytes: a Go test compares the hash in the first line with the sources.
import { createHash } from 'node:crypto'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { build } from 'esbuild'

const sources = ['build.mjs', 'package-lock.json', 'package.json', ...readdirSync('src').map(name => 'src/' + name)].sort()
const hash = createHash('sha256')
for (const name of sources) {
  const content = readFileSync(name)
  hash.update(`${name} ${content.length}\n`)
  hash.update(content)
}

const { outputFiles, metafile } = await build({
  entryPoints: ['src/main.js'],
  bundle: true,
  minify: true,
  charset: 'ascii', // safe in any encoding that a browser assumes
  format: 'iife',
  target: 'es2020',
  legalComments: 'none', // every page has licences.txt instead
  metafile: true,
  write: false,
})
const code = outputFiles[0].text
if (/<\/script|<!--/i.test(code)) throw new Error('the bundle would end its script element')
writeFileSync('../bundle.js', `/* sources sha256:${hash.digest('hex')} */\n${code}`)

const packages = new Set()
for (const [name, { bytesInOutput }] of Object.entries(Object.values(metafile.outputs)[0].inputs)) {
  const found = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(name)
  if (found && bytesInOutput > 0) packages.add(found[1])
}
let licences = ''
for (const name of [...packages].sort()) {
  const { version, license } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8'))
  const file = readdirSync(`node_modules/${name}`).find(file => /^licen[cs]e/i.test(file))
  licences += `${name} ${version} (${license})\n\n${readFileSync(`node_modules/${name}/${file}`, 'utf8').trim()}\n\n`
}
writeFileSync('../licences.txt', licences)
