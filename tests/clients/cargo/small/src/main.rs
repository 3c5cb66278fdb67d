fn main() {
    println!("{}", serde_json::json!({ "built": itoa::Buffer::new().format(1) }));
}
