// Answers `npm audit` from one made-up advisory, where Verdaccio itself would ask the public registry.
const { gunzipSync } = require('node:zlib');

const ADVISORY = {
  id: 1,
  url: 'https://registry.example/advisories/1',
  title: 'The needle is sharp',
  severity: 'high',
  vulnerable_versions: '<3.0.0',
  cwe: [],
  cvss: { score: 7.5, vectorString: null },
};

module.exports = () => ({
  register_middlewares(app) {
    app.post('/-/npm/v1/security/advisories/bulk', (request, response) => {
      // An earlier middleware may have read and parsed the body.
      const answer = (asked) => response.json('needle' in asked ? { needle: [ADVISORY] } : {});
      if (request.body && Object.keys(request.body).length > 0) {
        return answer(request.body);
      }
      const pieces = [];
      request.on('data', (piece) => pieces.push(piece));
      request.on('end', () => {
        const bytes = Buffer.concat(pieces);
        answer(JSON.parse(bytes[0] === 0x1f ? gunzipSync(bytes) : bytes));
      });
    });
  },
});
