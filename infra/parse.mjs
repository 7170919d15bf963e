// Reads Bicep files and prints their syntax trees as JSON, for infra's tests: node parse.mjs FILE...
// The grammar is tree-sitter's, compiled to WebAssembly; npm ci --prefix sandbox brings both.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(new URL('../sandbox/package.json', import.meta.url))
const { Parser, Language } = require('web-tree-sitter')

// The grammar knows no parameter files: there, `param name = value` is read as a variable of the same length.
const source = file => {
  const text = readFileSync(file, 'utf8')
  return file.endsWith('.bicepparam') ? text.replace(/^param /gm, 'var   ') : text
}

const tree = node => ({
  type: node.type,
  text: node.text,
  line: node.startPosition.row + 1,
  bad: node.isError || node.isMissing,
  children: Array.from({ length: node.childCount }, (_, i) => [node.child(i), node.fieldNameForChild(i)])
    .filter(([child]) => child.isNamed || child.isError || child.isMissing)
    .map(([child, field]) => ({ ...tree(child), field: field ?? '' })),
})

await Parser.init()
const parser = new Parser()
parser.setLanguage(await Language.load(require.resolve('tree-sitter-bicep/tree-sitter-bicep.wasm')))
const trees = Object.fromEntries(process.argv.slice(2).map(file => [file, tree(parser.parse(source(file)).rootNode)]))
process.stdout.write(JSON.stringify(trees))
