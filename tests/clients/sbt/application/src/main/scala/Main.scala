import cats.syntax.option._

object Main {
  def main(arguments: Array[String]): Unit = println("built".some)
}
