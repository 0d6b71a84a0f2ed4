"""Names that many builds have, from which others are told that are one letter off (docs/firewall.md)."""

_NAMES = """
@angular/core @babel/core @babel/preset-env @babel/runtime @eslint/js @jest/core @nestjs/common
@reduxjs/toolkit @testing-library/react @types/jest @types/node @types/react @types/react-dom
@typescript-eslint/parser acorn ajv angular ansi-regex ansi-styles async autoprefixer aws-sdk axios
babel-core babel-loader babel-runtime bcrypt bcryptjs bluebird body-parser bootstrap browserslist bson
camelcase chai chalk cheerio chokidar classnames color colord colors commander compression concurrently
cookie cookie-parser cookies core-js cors cross-env cross-spawn crypto-js css-loader d3 date-fns dayjs
debug deepmerge discord.js dotenv ejs electron enquirer es6-promise esbuild escape-string-regexp eslint
eslint-config-prettier eslint-plugin-import eslint-plugin-react event-stream execa express express-session
fast-glob file-loader firebase follow-redirects form-data formik framer-motion fs-extra glob globby got
graphql gulp handlebars helmet highlight.js html-webpack-plugin http-errors http-proxy husky iconv-lite
immer immutable inherits inquirer ioredis jest joi jquery js-yaml jsdom json json5 jsonwebtoken knex koa
less lint-staged lodash lodash.merge log4js lru-cache marked material-ui meow micromatch mime minimatch
minimist mkdirp mobx mocha moment moment-timezone mongodb mongoose morgan ms multer mysql mysql2 nanoid
nest next node-fetch node-sass nodemailer nodemon npm object-assign openai optimist ora p-limit passport
path-to-regexp pg picocolors pino playwright postcss preact prettier prisma progress prop-types puppeteer
qs query-string querystring ramda react react-dom react-hook-form react-native react-query react-redux
react-router react-router-dom react-scripts readable-stream redis redux regenerator-runtime request
resolve rimraf rollup rxjs sass sass-loader semver sequelize serve-static sharp shelljs sinon socket.io
socket.io-client source-map source-map-support stripe styled-components stylelint supertest supports-color
svelte swr tailwindcss terser three through through2 tmp ts-jest ts-loader ts-node tslib turbo type-fest
typeorm typescript uglify-js underscore undici url-loader uuid validator vite vitest vue vue-router vuex
web3 webpack webpack-cli webpack-dev-server winston ws xml2js yaml yargs yargs-parser zod zustand
"""

POPULAR = frozenset(_NAMES.split())
