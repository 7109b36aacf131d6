//! Steps on browser uploads: a form puts what a PUT would put.

use super::run::Run;

impl Run {
    pub(crate) fn form(&mut self) {
        let bucket = self.some_bucket();
        let key = self.some_key(&bucket);
        let (body, mut wish) = (self.some_body(), self.some_wish(&bucket));
        // Tags are an XML document in a form, which is told elsewhere.
        wish.tags.clear();
        let mut fields = vec![("key".to_owned(), key.clone())];
        fields.extend(wish.headers());
        let answer = self.call_form(&bucket, &fields, &body);
        let Some(answer) = self.unless_excused(answer) else {
            return;
        };
        let refusals = self.refusals_of_object(&bucket, &key, &wish, body.len());
        if refusals.done(&answer) {
            assert_eq!(answer.status, 204, "{}", answer.shown());
            self.put_was_done((&bucket, &key), &wish, body, None, &answer);
        }
    }
}
